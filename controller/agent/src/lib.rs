//! A node agent: holder, containers, checkpoints and status updates.
