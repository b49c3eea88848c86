//! What `storage` changes on a disk, seen and made to fail.
//!
//! Lives here: the witness of this thread. Must not: what a crash makes of the changes (`crashes`).

use std::cell::RefCell;
use std::fs;
use std::io;

use storage::{Change, set_witness};

use crate::crashes::{self, Event, owned};

/// How the disk is while something is done to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    /// There is no room: of what needs some, this chance has it fail.
    pub(crate) full: Option<fastrand::Rng>,
    /// So many changes from now one fails.
    pub(crate) breaks: Option<usize>,
}

/// Where changes are noted, and how the disk is now.
#[derive(Debug)]
struct Recording {
    weather: Weather,
    changed: Changed,
    failed: bool,
}

/// What they are noted as.
#[derive(Debug)]
enum Changed {
    /// They have happened.
    Disk(crashes::Disk),
    /// They may happen.
    Events(Vec<Event>),
}

thread_local! {
    static RECORDING: RefCell<Option<Recording>> = const { RefCell::new(None) };
}

/// Does the work, which changes the disk; answers with its result, and whether something was made to fail.
pub(crate) fn record<T>(
    weather: &mut Weather,
    disk: &mut crashes::Disk,
    work: impl FnOnce() -> T,
) -> (T, bool) {
    let changed = Changed::Disk(std::mem::take(disk));
    let (done, recording) = note(weather, changed, work);
    if let Changed::Disk(changed) = recording.changed {
        *disk = changed;
    }
    (done, recording.failed)
}

/// What the work would change.
pub(crate) fn rehearse(weather: &mut Weather, work: impl FnOnce()) -> Vec<Event> {
    match note(weather, Changed::Events(Vec::new()), work).1.changed {
        Changed::Events(events) => events,
        Changed::Disk(_) => Vec::new(),
    }
}

fn note<T>(weather: &mut Weather, changed: Changed, work: impl FnOnce() -> T) -> (T, Recording) {
    set_witness(Box::new(witness));
    let recording = Recording { weather: std::mem::take(weather), changed, failed: false };
    RECORDING.set(Some(recording));
    let done = work();
    let mut recording = RECORDING.take().expect("it was begun");
    *weather = std::mem::take(&mut recording.weather);
    (done, recording)
}

fn witness(change: Change<'_>) -> io::Result<()> {
    RECORDING.with_borrow_mut(|recording| match recording {
        Some(recording) => recording.note(change),
        None => Ok(()),
    })
}

impl Recording {
    fn note(&mut self, change: Change<'_>) -> io::Result<()> {
        if let Some(chance) = &mut self.weather.full
            && needs_room(change)
            && chance.u8(..) < 224
        {
            return self.fail(change, ENOSPC);
        }
        match &mut self.weather.breaks {
            Some(0) => {
                self.weather.breaks = None;
                return self.fail(change, EIO);
            }
            Some(after) => *after -= 1,
            None => {}
        }
        match &mut self.changed {
            Changed::Disk(disk) => disk.change(change),
            Changed::Events(events) => events.push(owned(change)),
        }
        Ok(())
    }

    fn fail(&mut self, change: Change<'_>, errno: i32) -> io::Result<()> {
        self.failed = true;
        if let Change::Sync(path) = change {
            match &mut self.changed {
                Changed::Disk(disk) => disk.fail_flush(path),
                Changed::Events(events) => events.push(Event::FlushFailed(path.to_owned())),
            }
        }
        Err(io::Error::from_raw_os_error(errno))
    }
}

fn needs_room(change: Change<'_>) -> bool {
    match change {
        Change::Create(_) | Change::Write { .. } => true,
        Change::SetLength { path, length } => {
            fs::metadata(path).is_ok_and(|file| file.len() < length)
        }
        _ => false,
    }
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
