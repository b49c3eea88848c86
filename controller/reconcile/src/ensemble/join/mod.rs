//! Members whose changes the ensemble itself keeps: those that joined an ensemble of Apache's, for as long as they are.
//!
//! The members that count are those of `/zookeeper/config`, not those of a wish: they are changed by reconfiguration,
//! one at a time, while all serve. Ours start as learners without a vote and get one when they are in step; whoever
//! leaves stays a learner until it is ended. Lives here: `plan` (pure), and `ask` (a client's session).

mod ask;
mod plan;

pub(crate) use ask::{Way, ask, change};
pub(crate) use plan::{
    Change, Config, Next, Situation, advice, is_missed, leads, next, status_members, stays,
};
