//! The audit log: one line for each change a client asked for, in Apache's form.
//!
//! Lives here: what is noted when a request comes, and the lines when its answer is known. They go to the log
//! under the target `audit`, successes as info, failures as errors.

use std::fmt::Write as _;
use std::sync::OnceLock;

use jute::{Acl, CreateRequest, MultiOp, Perms, Request, Txn};
use types::SessionId;

use crate::conn::Conn;

/// What a request is about, noted before it becomes a transaction.
#[derive(Debug)]
pub(super) struct Audited {
    subject: Subject,
    /// Of a multi: its parts.
    parts: Vec<Subject>,
}

#[derive(Debug)]
struct Subject {
    operation: &'static str,
    path: Option<String>,
    kind: Option<&'static str>,
    acl: Option<String>,
}

impl Audited {
    /// `None`: requests of this kind are not audited.
    pub(super) fn of(request: &Request) -> Option<Box<Self>> {
        let (subject, parts) = match request {
            Request::Create(create)
            | Request::Create2(create)
            | Request::CreateContainer(create)
            | Request::CreateTtl(create, _) => (Subject::create(create), Vec::new()),
            Request::Delete { path, .. } => (Subject::new("delete", Some(path)), Vec::new()),
            Request::SetData { path, .. } => (Subject::new("setData", Some(path)), Vec::new()),
            Request::SetAcl { path, acl, .. } => {
                let acl = Some(acl_text(acl));
                (Subject { acl, ..Subject::new("setAcl", Some(path)) }, Vec::new())
            }
            Request::Reconfig(_) => (Subject::new("reconfig", None), Vec::new()),
            Request::Multi(ops) => {
                let parts = ops.iter().filter_map(Subject::part).collect();
                (Subject::new("multiOperation", None), parts)
            }
            _ => return None,
        };
        Some(Box::new(Self { subject, parts }))
    }

    /// Tells what became of it.
    pub(super) fn tell(mut self, conn: &Conn, session: SessionId, txn: &Txn, refused: bool) {
        let failed = match txn {
            Txn::Multi(txns) => txns.iter().any(|txn| matches!(txn, Txn::Error(_))),
            _ => refused,
        };
        let who = who(conn);
        match txn {
            Txn::Multi(txns) if !failed => {
                self.name_made(txns);
                for part in &self.parts {
                    put(&part.line(session, &who, "success"), false);
                }
            }
            txn => {
                if let Some(path) = made_path(txn) {
                    self.subject.path = Some(path);
                }
                let result = if failed { "failure" } else { "success" };
                put(&self.subject.line(session, &who, result), failed);
            }
        }
    }

    /// Gives the parts that make znodes the paths that were made, which have numbers where the client asked for some.
    fn name_made(&mut self, txns: &[Txn]) {
        let made = txns.iter().filter_map(made_path);
        let creates = self.parts.iter_mut().filter(|part| part.operation == "create");
        for (part, path) in creates.zip(made) {
            part.path = Some(path);
        }
    }
}

/// What became of the server itself: `serverStart` or `serverStop`.
pub(crate) fn tell_server(operation: &str, result: &str) {
    let line = format!("user={}\toperation={operation}\tresult={result}", process_user());
    put(&line, result == "failure");
}

/// Ephemerals that went with their session.
pub(super) fn tell_ephemerals(session: SessionId, txn: &Txn) {
    let Txn::CloseSession(Some(paths)) = txn else { return };
    tell_all_gone(session, paths.iter());
}

/// Ephemerals that went before it.
pub(super) fn tell_gone_before(session: SessionId, txn: &Txn) {
    let Txn::Multi(txns) = txn else { return };
    let paths = txns.iter().filter_map(|txn| match txn {
        Txn::Delete { path } => Some(path),
        _ => None,
    });
    tell_all_gone(session, paths);
}

fn tell_all_gone<'a>(session: SessionId, paths: impl Iterator<Item = &'a jute::Text>) {
    for path in paths {
        let subject = Subject::new("ephemeralZNodeDeletionOnSessionCloseOrExpire", Some(path));
        put(&subject.line(session, &format!("user={}", process_user()), "success"), false);
    }
}

impl Subject {
    fn new(operation: &'static str, path: Option<&jute::Text>) -> Self {
        let path = path.map(ToString::to_string);
        Self { operation, path, kind: None, acl: None }
    }

    fn create(create: &CreateRequest) -> Self {
        let kind = match create.flags {
            0 => "persistent",
            1 => "ephemeral",
            2 => "persistent_sequential",
            3 => "ephemeral_sequential",
            4 => "container",
            5 => "persistent_with_ttl",
            6 => "persistent_sequential_with_ttl",
            _ => return Self::new("create", Some(&create.path)),
        };
        Self { kind: Some(kind), ..Self::new("create", Some(&create.path)) }
    }

    fn part(op: &MultiOp) -> Option<Self> {
        match op {
            MultiOp::Create(create)
            | MultiOp::Create2(create)
            | MultiOp::CreateContainer(create)
            | MultiOp::CreateTtl(create, _) => Some(Self::create(create)),
            MultiOp::Delete { path, .. } => Some(Self::new("delete", Some(path))),
            MultiOp::SetData { path, .. } => Some(Self::new("setData", Some(path))),
            MultiOp::Check { .. } => None,
        }
    }

    fn line(&self, session: SessionId, who: &str, result: &str) -> String {
        let mut line = format!("session={session}\t{who}\toperation={}", self.operation);
        let keys = [("znode", self.path.as_deref()), ("znode_type", self.kind)];
        for (key, value) in keys.into_iter().chain([("acl", self.acl.as_deref())]) {
            if let Some(value) = value {
                // A tab or the end of a line in a path must not look like another key or line.
                write!(line, "\t{key}={}", value.escape_debug()).expect("strings grow");
            }
        }
        line + "\tresult=" + result
    }
}

fn put(line: &str, failed: bool) {
    if failed {
        tracing::error!(target: "audit", "{line}");
    } else {
        tracing::info!(target: "audit", "{line}");
    }
}

fn who(conn: &Conn) -> String {
    let auth = std::sync::Arc::clone(&conn.lock().auth);
    let name = |id: &jute::Id| match (id.scheme.as_str(), id.id.split_once(':')) {
        ("digest", Some((user, _))) => user.to_owned(),
        _ => id.id.to_string(),
    };
    // Being above all ACLs is no name: it comes with one, or is everybody's.
    let named = auth.iter().filter(|id| id.scheme != "super");
    let names: Vec<_> = named.map(name).collect();
    let names = names.join(",").escape_debug().to_string();
    format!("user={names}\tip={}", conn.remote.ip())
}

/// As Java names it: by the system's list of users, whatever `USER` says.
fn process_user() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let id = rustix::process::getuid().as_raw();
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        // A container may run as a user that its image does not list.
        user_name(&users, id).map_or_else(|| id.to_string(), str::to_owned)
    })
}

fn user_name(users: &str, id: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, listed) = (fields.next()?, fields.nth(1)?);
        (listed.parse() == Ok(id)).then_some(name)
    })
}

fn made_path(txn: &Txn) -> Option<String> {
    match txn {
        Txn::Create(create)
        | Txn::Create2(create)
        | Txn::CreateContainer(create)
        | Txn::CreateTtl(create, _) => Some(create.path.to_string()),
        _ => None,
    }
}

/// `scheme:id:cdrwa` for each entry.
fn acl_text(acl: &[Acl]) -> String {
    let letters = [
        (Perms::CREATE, 'c'),
        (Perms::DELETE, 'd'),
        (Perms::READ, 'r'),
        (Perms::WRITE, 'w'),
        (Perms::ADMIN, 'a'),
    ];
    let entry = |entry: &Acl| {
        let perms: String = letters
            .iter()
            .filter(|(perm, _)| entry.perms.intersects(*perm))
            .map(|one| one.1)
            .collect();
        format!("{}:{}:{perms}", entry.id.scheme, entry.id.id)
    };
    acl.iter().map(entry).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use jute::CreateTxn;

    use super::*;

    #[test]
    fn a_line_has_apaches_keys_in_apaches_order() {
        let acl = [Acl::OPEN].into();
        let request = Request::SetAcl { path: "/a\tb".into(), acl, version: -1 };
        let audited = Audited::of(&request).expect("it is audited");
        let line = audited.subject.line(SessionId(7), "user=u\tip=i", "success");
        assert_eq!(
            line,
            "session=0x7\tuser=u\tip=i\toperation=setAcl\tznode=/a\\tb\t\
             acl=world:anyone:cdrwa\tresult=success"
        );
        assert!(Audited::of(&Request::Ping).is_none());
    }

    #[test]
    fn each_part_of_a_multi_is_told_with_the_znode_it_made() {
        let asked = |path: &str, flags| CreateRequest {
            path: path.into(),
            data: None,
            acl: [Acl::OPEN].into(),
            flags,
        };
        let made = |path: &str| CreateTxn {
            path: path.into(),
            data: None,
            acl: [Acl::OPEN].into(),
            ephemeral: false,
            parent_cversion: 1,
        };
        let request = Request::Multi(vec![
            MultiOp::CreateContainer(asked("/container", 4)),
            MultiOp::CreateTtl(asked("/ttl-", 6), 5000),
            MultiOp::Create(asked("/plain", 0)),
        ]);
        let mut audited = Audited::of(&request).expect("it is audited");
        audited.name_made(&[
            Txn::CreateContainer(made("/container")),
            Txn::CreateTtl(made("/ttl-0000000001"), 5000),
            Txn::Create(made("/plain")),
        ]);
        let paths: Vec<_> = audited.parts.iter().filter_map(|part| part.path.as_deref()).collect();
        assert_eq!(paths, ["/container", "/ttl-0000000001", "/plain"]);
    }

    #[test]
    fn a_user_is_named_by_the_systems_list() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nzk:x:1000:1000::/:/bin/sh\n";
        assert_eq!(user_name(users, 1000), Some("zk"));
        assert_eq!(user_name(users, 7), None);
    }
}
