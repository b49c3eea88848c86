//! What goes wrong between a framework and its master.

/// Why the connection to a master ended or never came about. All of them are tried again.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No answer at all.
    #[error("master {master}: {what}")]
    Unreachable {
        /// `host:port`.
        master: String,
        /// What was tried and how it failed.
        what: String,
    },
    /// The master refused a call.
    #[error("master {master} refused {call} with status {status}: {text}")]
    Refused {
        /// `host:port`.
        master: String,
        /// The call's type.
        call: &'static str,
        /// The HTTP status.
        status: u16,
        /// The first words of the body.
        text: String,
    },
    /// A redirection that cannot be followed.
    #[error("master {master} redirects to {location:?}, which names no other master")]
    Redirect {
        /// `host:port`.
        master: String,
        /// The header's value.
        location: String,
    },
    /// The stream is not what the API says.
    #[error("master {master} sent what is no event: {what}")]
    Malformed {
        /// `host:port`.
        master: String,
        /// What was wrong.
        what: String,
    },
    /// The master ended the subscription with words.
    #[error("master {master} ended the subscription: {message}")]
    Ended {
        /// `host:port`.
        master: String,
        /// Its words.
        message: String,
    },
    /// The stream closed, or was silent for several heartbeats.
    #[error("the connection to master {master} is lost ({why})")]
    Lost {
        /// `host:port`.
        master: String,
        /// How.
        why: &'static str,
    },
}

/// Why a framework could not be ended in an orderly way.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// Time ran out.
    #[error(
        "framework {framework}: {tasks} tasks may be left, because {why}; \
         the master ends them when the failover timeout is over"
    )]
    TasksLeft {
        /// Namespace and name.
        framework: String,
        /// How many are not known to have ended.
        tasks: usize,
        /// What was in the way.
        why: String,
    },
}
