//! What `storage` changes on a disk, seen and made to fail.
//!
//! Lives here: the witness of this thread. Must not: what a crash makes of the changes (`crashes`).

use std::cell::RefCell;
use std::fs;
use std::io;

use storage::{Change, set_witness};

use crate::crashes::{Event, owned};

/// How the disk is while something is done to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    /// There is no room: of what needs some, this chance has it fail.
    pub(crate) full: Option<fastrand::Rng>,
    /// So many changes from now one fails.
    pub(crate) breaks: Option<usize>,
}

/// What was done, and how the disk is now.
#[derive(Debug, Default)]
struct Recording {
    weather: Weather,
    events: Vec<Event>,
    failed: bool,
}

thread_local! {
    static RECORDING: RefCell<Option<Recording>> = const { RefCell::new(None) };
}

/// Does the work; answers with its result, what it changed, and whether something was made to fail.
pub(crate) fn record<T>(weather: &mut Weather, work: impl FnOnce() -> T) -> (T, Vec<Event>, bool) {
    set_witness(Box::new(witness));
    let recording = Recording { weather: weather.clone(), ..Recording::default() };
    RECORDING.set(Some(recording));
    let done = work();
    let recording = RECORDING.take().unwrap_or_default();
    *weather = recording.weather;
    (done, recording.events, recording.failed)
}

fn witness(change: Change<'_>) -> io::Result<()> {
    RECORDING.with_borrow_mut(|recording| match recording {
        Some(recording) => recording.note(owned(change)),
        None => Ok(()),
    })
}

impl Recording {
    fn note(&mut self, event: Event) -> io::Result<()> {
        if let Some(chance) = &mut self.weather.full
            && needs_room(&event)
            && chance.u8(..) < 224
        {
            return self.fail(event, ENOSPC);
        }
        match &mut self.weather.breaks {
            Some(0) => {
                self.weather.breaks = None;
                return self.fail(event, EIO);
            }
            Some(after) => *after -= 1,
            None => {}
        }
        self.events.push(event);
        Ok(())
    }

    fn fail(&mut self, event: Event, errno: i32) -> io::Result<()> {
        self.failed = true;
        if let Event::Sync(path) = event {
            self.events.push(Event::FlushFailed(path));
        }
        Err(io::Error::from_raw_os_error(errno))
    }
}

fn needs_room(event: &Event) -> bool {
    match event {
        Event::Create(_) | Event::Write(..) => true,
        Event::SetLength(path, length) => fs::metadata(path).is_ok_and(|file| file.len() < *length),
        _ => false,
    }
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
