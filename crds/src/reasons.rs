//! Condition types and reasons. They are API: scripts wait for them, so they never change meaning.

/// All is as declared and works.
pub const READY: &str = "Ready";
/// The controller is changing something, or waits for what it changed.
pub const RECONCILING: &str = "Reconciling";
/// Nothing will change until a person changes something.
pub const STALLED: &str = "Stalled";
/// Clients are served.
pub const AVAILABLE: &str = "Available";
/// A roll-out is under way.
pub const PROGRESSING: &str = "Progressing";
/// It works with less than declared.
pub const DEGRADED: &str = "Degraded";
/// A member's files are damaged, and it takes what it lost from the others.
pub const MENDING: &str = "Mending";
/// The znode is as declared.
pub const SYNCED: &str = "Synced";
/// Limits are enforced by cgroups on every agent.
pub const ENFORCED: &str = "Enforced";
/// Tasks leave the agent and no new ones come.
pub const DRAINING: &str = "Draining";

/// As declared.
pub const AS_DECLARED: &str = "AsDeclared";
/// On the way there.
pub const IN_PROGRESS: &str = "InProgress";
/// The field is planned and has no effect yet; the message names its path.
pub const NOT_YET_SUPPORTED: &str = "NotYetSupported";
/// What a reference names does not exist.
pub const REFERENCE_NOT_FOUND: &str = "ReferenceNotFound";
/// What a reference names exists and is not ready.
pub const WAITING_FOR_REFERENCE: &str = "WaitingForReference";
/// The spec passes the schema but cannot be carried out.
pub const INVALID_SPEC: &str = "InvalidSpec";
/// The annotation `troupe.dev/paused` is set.
pub const PAUSED: &str = "Paused";
/// Deletion was asked for and is being carried out.
pub const DELETING: &str = "Deleting";
/// Deletion waits because others use the object.
pub const IN_USE: &str = "InUse";
/// A declared port belongs to somebody else.
pub const PORT_IN_USE: &str = "PortInUse";
/// A process was started and does not answer yet.
pub const STARTING: &str = "Starting";
/// A process ended by itself and will be started again.
pub const PROCESS_FAILED: &str = "ProcessFailed";
/// A process is there and does not run, because a signal stopped it.
pub const PROCESS_SUSPENDED: &str = "ProcessSuspended";
/// A member had data and finds none; the message tells what brings it back.
pub const DATA_LOST: &str = "DataLost";
/// A member is being added, removed or restarted.
pub const CHANGING_MEMBERS: &str = "ChangingMembers";
/// A change of members waits until all that must serve do.
pub const WAITING_FOR_MEMBERS: &str = "WaitingForMembers";
/// Some members do not serve, and a majority does.
pub const MEMBERS_MISSING: &str = "MembersMissing";
/// Too few voters serve, so that none leads.
pub const NO_QUORUM: &str = "NoQuorum";
/// A member has no room for writes.
pub const DISK_FULL: &str = "DiskFull";
/// A member found files damaged that it needs to vote.
pub const FILES_DAMAGED: &str = "FilesDamaged";
/// Members join an ensemble that is not ours, or leave it.
pub const JOINING: &str = "Joining";
/// Enough voters are there, and none leads yet.
pub const ELECTING: &str = "Electing";
/// No master leads.
pub const NO_LEADER: &str = "NoLeadingMaster";
/// Not all agents are registered.
pub const AGENTS_MISSING: &str = "AgentsMissing";
/// cgroups cannot be written; the message tells why and what to do.
pub const CGROUPS_NOT_WRITABLE: &str = "CgroupsNotWritable";
/// Limits are not asked for.
pub const NOT_REQUESTED: &str = "NotRequested";
/// Cgroups enforce the limits.
pub const BY_CGROUPS: &str = "ByCgroups";
/// Too few tasks run.
pub const TASKS_MISSING: &str = "TasksMissing";
/// Tasks fail over and over.
pub const TASKS_FAILING: &str = "TasksFailing";
/// The pool has no such role.
pub const UNKNOWN_ROLE: &str = "UnknownRole";
/// Declared as suspended.
pub const SUSPENDED: &str = "Suspended";
/// Another object declares the same znode.
pub const CONFLICT: &str = "Conflict";
/// The other side answered with an error.
pub const REFUSED: &str = "Refused";
/// The other side cannot be reached.
pub const UNREACHABLE: &str = "Unreachable";
/// The platform could not do what the plan says, such as writing a file.
pub const PLATFORM_ERROR: &str = "PlatformError";

/// Event reasons.
pub mod events {
    /// A znode was changed behind Troupe's back and was put back.
    pub const DRIFT_CORRECTED: &str = "DriftCorrected";
    /// Something was created.
    pub const CREATED: &str = "Created";
    /// Something was deleted.
    pub const DELETED: &str = "Deleted";
    /// A process was started.
    pub const STARTED: &str = "Started";
    /// A process is stopped and started, because its configuration changed or somebody asked.
    pub const RESTARTED: &str = "Restarted";
    /// A process ended by itself.
    pub const EXITED: &str = "Exited";
    /// The object became Ready.
    pub const BECAME_READY: &str = "BecameReady";
    /// The object is no longer Ready.
    pub const NOT_READY: &str = "NotReady";
    /// Deletion waits.
    pub const DELETION_HELD: &str = "DeletionHeld";
    /// A task of a framework failed.
    pub const TASK_FAILED: &str = "TaskFailed";
    /// A member was added.
    pub const MEMBER_ADDED: &str = "MemberAdded";
    /// A member was removed; its data stays.
    pub const MEMBER_REMOVED: &str = "MemberRemoved";
    /// A member without its data is filled again from the others.
    pub const MEMBER_REBUILT: &str = "MemberRebuilt";
    /// A member found its files damaged and takes what it lost from the others.
    pub const MENDING: &str = "Mending";
    /// A member's files are whole again.
    pub const MENDED: &str = "Mended";
    /// Another member leads.
    pub const LEADER_CHANGED: &str = "LeaderChanged";
    /// Too few voters serve: clients cannot write.
    pub const QUORUM_LOST: &str = "QuorumLost";
    /// Enough voters serve again.
    pub const QUORUM_REGAINED: &str = "QuorumRegained";
    /// A count was changed.
    pub const SCALED: &str = "Scaled";
}
