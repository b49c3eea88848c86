//! Watch: what is, and then everything that happens.
//!
//! Lives here: the stream of one watch. Must not: keep queues: each watch reads from the ring of its
//! resource when its client takes more, so a slow client costs nothing and falls off the ring (410).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use objects::field::{FieldError, Path};
use objects::table::Table;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api::{Api, Asked, Seat};
use crate::media::{Shape, Syntax};
use crate::reply::Body;
use crate::status::{Answer, ApiError};
use crate::verbs::present::{self, Rows};
use crate::verbs::select::Selection;
use crate::world::{Cursor, Event, Object, set_rv};

/// Opens a watch; `seat` is kept until it ends.
pub(crate) async fn watch(api: &Arc<Api>, asked: Asked, seat: Seat) -> Answer<Response<Body>> {
    let selection = Selection::of(&asked)?;
    check_options(&asked)?;
    if let Some(why) = asked.params.refused_version() {
        return Err(ApiError::unreasoned(why));
    }
    if asked.form.syntax == Syntax::Yaml {
        return Err(ApiError::not_acceptable("application/json, application/json;stream=watch"));
    }
    let namespace = asked.namespace.clone();
    let storage = asked.kind.storage.clone();
    let namespace_filter = (!namespace.is_empty()).then_some(namespace.as_str());
    let mut head = VecDeque::new();
    let from = asked.params.resource_version.unwrap_or(0);
    let initial = asked.params.send_initial_events;
    let mut first_rv = 0;
    let mut expect = None;
    let cursor = match (from, initial) {
        (0, None | Some(true)) | (_, Some(true)) => {
            if from > 0 && api.world.rv() < from {
                expect = Some(from);
            }
            let (rv, objects, cursor) = api.world.open(&storage, namespace_filter);
            head.extend(objects.into_iter().filter(|object| selection.matches(object)));
            first_rv = rv;
            Ok(cursor)
        }
        (0, Some(false)) => {
            let (rv, _, cursor) = api.world.open(&storage, namespace_filter);
            first_rv = rv;
            Ok(cursor)
        }
        (rv, _) => {
            if api.world.rv() < rv {
                expect = Some(rv);
            }
            api.world.cursor(&storage, rv).map_err(|fallen| ApiError::too_old(rv, fallen.oldest))
        }
    };
    let end_mark = initial == Some(true) && asked.params.bookmarks;
    let deadline =
        Instant::now() + asked.params.timeout_seconds.map_or_else(lifetime, Duration::from_secs);
    let stream = Stream {
        api: Arc::clone(api),
        table: present::table_of(&asked.kind, None),
        asked,
        selection,
        namespace,
        head,
        end_mark,
        expect,
        upto: first_rv.max(from),
        marked: false,
        wrote_columns: false,
        state: match cursor {
            Ok(cursor) => State::Live(Box::new(cursor)),
            Err(error) => State::Failing(Box::new(error)),
        },
        deadline,
        bookmark: Instant::now() + BOOKMARK,
        _seat: seat,
    };
    let frames = futures::stream::unfold(stream, |mut stream| async {
        loop {
            // Nothing to say to this client about these changes: on to the next ones.
            let bytes = stream.next().await?;
            if !bytes.is_empty() {
                return Some((Ok::<_, Infallible>(Frame::data(bytes)), stream));
            }
        }
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

fn check_options(asked: &Asked) -> Answer<()> {
    let params = &asked.params;
    let root = Path::Root;
    let path = root.child("resourceVersionMatch");
    let rule = params.resource_version_match.as_deref();
    let error = match (params.send_initial_events, rule) {
        (Some(_), Some("NotOlderThan")) | (None, None) => return Ok(()),
        (Some(_), None) => FieldError::forbidden(
            &path,
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (Some(_), Some(other)) => FieldError::not_supported(&path, &other.into(), ["NotOlderThan"]),
        (None, Some(_)) => FieldError::forbidden(
            &path,
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
    };
    Err(ApiError::invalid_options("ListOptions", &[error]))
}

enum State {
    Live(Box<Cursor>),
    /// The next and last thing to say.
    Failing(Box<ApiError>),
    Ended,
}

struct Stream {
    api: Arc<Api>,
    asked: Asked,
    selection: Selection,
    /// Empty: all.
    namespace: String,
    table: Table,
    /// Objects to be shown as added before any change.
    head: VecDeque<Arc<Object>>,
    /// A bookmark must follow the head.
    end_mark: bool,
    /// A resourceVersion of the future that the client asked for.
    expect: Option<u64>,
    /// Everything up to here was told.
    upto: u64,
    /// The bookmark before the end was sent.
    marked: bool,
    wrote_columns: bool,
    state: State,
    deadline: Instant,
    bookmark: Instant,
    _seat: Seat,
}

impl Stream {
    /// The next lines; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(rv) = self.expect {
                return self.await_future(rv).await;
            }
            if !self.head.is_empty() {
                return Some(self.write_head());
            }
            if self.end_mark {
                self.end_mark = false;
                return Some(self.write_bookmark(true));
            }
            if let Some(bytes) = self.take_changes() {
                return Some(bytes);
            }
            let State::Live(cursor) = &mut self.state else { return None };
            let closing = self.asked.params.bookmarks && !self.marked;
            let soon = if closing { self.deadline - LAST_BOOKMARK } else { self.deadline };
            let mut stopping = self.api.stopping.clone();
            tokio::select! {
                more = cursor.more.changed() => if more.is_err() { return None },
                _ = stopping.wait_for(|stopping| *stopping) => return None,
                () = tokio::time::sleep_until(soon) => {
                    if !closing {
                        return None;
                    }
                    self.marked = true;
                    return Some(self.write_bookmark(false));
                }
                () = tokio::time::sleep_until(self.bookmark), if self.asked.params.bookmarks => {
                    self.bookmark = Instant::now() + BOOKMARK;
                    return Some(self.write_bookmark(false));
                }
            }
        }
    }

    /// Waits for a resourceVersion that was not given out yet; then goes on, or ends with an error.
    async fn await_future(&mut self, rv: u64) -> Option<Bytes> {
        self.expect = None;
        if let Err(current) = self.api.world.at_least(rv, PATIENCE).await {
            self.state = State::Ended;
            return Some(error_line(&ApiError::too_new(rv, current)));
        }
        if self.asked.params.send_initial_events == Some(true) {
            let namespace = (!self.namespace.is_empty()).then_some(self.namespace.as_str());
            let (rv, objects, cursor) = self.api.world.open(&self.asked.kind.storage, namespace);
            self.head = objects.into_iter().filter(|o| self.selection.matches(o)).collect();
            self.state = State::Live(Box::new(cursor));
            self.upto = rv;
        }
        // Nothing to say: the stream goes on with the next call.
        Some(Bytes::new())
    }

    fn take_changes(&mut self) -> Option<Bytes> {
        let cursor = match &mut self.state {
            State::Live(cursor) => cursor,
            State::Ended => return None,
            State::Failing(_) => {
                let State::Failing(error) = std::mem::replace(&mut self.state, State::Ended) else {
                    return None;
                };
                return Some(error_line(&error));
            }
        };
        match self.api.world.next(&self.asked.kind.storage, cursor, BATCH, PIECE) {
            Err(fallen) => {
                self.state = State::Ended;
                Some(error_line(&ApiError::too_old(self.upto, fallen.oldest)))
            }
            Ok((events, upto)) => {
                let mut out = Vec::new();
                for event in &events {
                    self.write_event(event, &mut out);
                }
                self.upto = upto;
                // An empty piece: there were changes, none of them for this client.
                (!events.is_empty()).then(|| out.into())
            }
        }
    }

    fn write_head(&mut self) -> Bytes {
        let mut out = Vec::new();
        while out.len() < PIECE
            && let Some(object) = self.head.pop_front()
        {
            let value = present::as_served(&self.asked.kind, &object);
            self.write("ADDED", value, &mut out);
        }
        out.into()
    }

    /// A change as this watch sees it: what starts to match is added, what stops to match is deleted.
    fn write_event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let sees = |object: &Option<Arc<Object>>| {
            object
                .as_ref()
                .filter(|object| {
                    (self.namespace.is_empty() || *object.key.namespace == *self.namespace)
                        && self.selection.matches(object)
                })
                .cloned()
        };
        let (old, new) = (sees(&event.old), sees(&event.new));
        let (word, object) = match (old, new) {
            (None, None) => return,
            (None, Some(new)) => ("ADDED", new),
            (Some(_), Some(new)) => ("MODIFIED", new),
            (Some(old), None) => ("DELETED", old),
        };
        let mut value = present::as_served(&self.asked.kind, &object);
        set_rv(&mut value, event.rv);
        self.write(word, value, out);
    }

    fn write_bookmark(&mut self, end_of_initial: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": self.upto.to_string()});
        if end_of_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let kind = &self.asked.kind;
        let value =
            json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata});
        let mut out = Vec::new();
        self.write("BOOKMARK", value, &mut out);
        out.into()
    }

    fn write(&mut self, word: &str, value: Value, out: &mut Vec<u8>) {
        let object = match self.asked.form.shape {
            Shape::Object | Shape::Discovery(_) => value,
            Shape::Partial(version) | Shape::PartialList(version) => {
                present::partial(&value, version)
            }
            Shape::Table(version) => {
                let metadata = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
                let columns = !std::mem::replace(&mut self.wrote_columns, true);
                let rows = Rows::new(&self.table, &self.asked, version);
                rows.table(metadata, std::iter::once(value), columns)
            }
        };
        write_line(word, &object, out);
    }
}

fn error_line(error: &ApiError) -> Bytes {
    let mut out = Vec::new();
    write_line("ERROR", &error.body(), &mut out);
    out.into()
}

fn write_line(word: &str, object: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"type":""#);
    out.extend_from_slice(word.as_bytes());
    out.extend_from_slice(br#"","object":"#);
    serde_json::to_writer(&mut *out, object).expect("a value is written to memory");
    out.extend_from_slice(b"}\n");
}

/// How long a watch lives whose client does not say: 30 to 60 minutes, spread so that not all end at
/// once.
fn lifetime() -> Duration {
    let spread = uuid::Uuid::new_v4().as_u128() % 1800;
    Duration::from_secs(1800 + u64::try_from(spread).unwrap_or(0))
}

const BOOKMARK: Duration = Duration::from_secs(60);
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(3);
/// Changes and bytes put into one piece of the stream.
const BATCH: usize = 64;
const PIECE: usize = 64 << 10;
