//! Frameworks, agents, offers and tasks of one resource pool as one state machine.
