//! The agent's own HTTP port: health, state, containers, and the files of sandboxes.
//!
//! Lives here: requests and their answers. Must not: change anything. Nothing here needs a body, so none
//! is read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// The most bytes of one `/files/read`. Source: Mesos, 16 pages.
const MOST_READ: u64 = 64 << 10;
/// Connections served at once; more wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 64;
/// A client that does not send its request in this time is let go.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);

/// A question to the agent's loop, with where the answer goes.
#[derive(Debug)]
pub(crate) enum Question {
    /// `/state`.
    State(oneshot::Sender<Value>),
    /// `/containers`.
    Containers(oneshot::Sender<Value>),
}

/// Serves until the process ends. `sandboxes` is the only directory that files are read from.
pub(crate) async fn serve(
    listener: TcpListener,
    questions: mpsc::Sender<Question>,
    sandboxes: PathBuf,
) {
    let places = std::sync::Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = std::sync::Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, mostly: others must end first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (questions, sandboxes) = (questions.clone(), sandboxes.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (questions, sandboxes) = (questions.clone(), sandboxes.clone());
                async move {
                    Ok::<_, std::convert::Infallible>(answer(request, &questions, &sandboxes).await)
                }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS_WITHIN)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes or talks nonsense harms only itself.
            let _ = connection.await;
            drop(place);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    questions: &mpsc::Sender<Question>,
    sandboxes: &Path,
) -> Response<Full<Bytes>> {
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here");
    }
    // Mesos's own prefix of the agent's endpoints.
    let path = request.uri().path();
    let query = request.uri().query().unwrap_or_default();
    match path.strip_prefix("/slave(1)").unwrap_or(path) {
        "/health" => text(StatusCode::OK, ""),
        "/state" | "/state.json" => ask(questions, Question::State).await,
        "/containers" => ask(questions, Question::Containers).await,
        "/files/read" | "/files/read.json" => read(query, sandboxes).await,
        other => text(
            StatusCode::NOT_FOUND,
            &format!("{other} is not here; there are /health /state /containers /files/read"),
        ),
    }
}

async fn ask(
    questions: &mpsc::Sender<Question>,
    question: impl FnOnce(oneshot::Sender<Value>) -> Question,
) -> Response<Full<Bytes>> {
    let (reply, answer) = oneshot::channel();
    if questions.send(question(reply)).await.is_ok()
        && let Ok(value) = answer.await
    {
        return ok(&value);
    }
    text(StatusCode::SERVICE_UNAVAILABLE, "the agent is ending")
}

/// Source: Mesos `/files/read`: an absent or negative offset asks for the size.
async fn read(query: &str, sandboxes: &Path) -> Response<Full<Bytes>> {
    let parameter = |name: &str| {
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name)
    };
    let Some((_, path)) = parameter("path") else {
        return text(StatusCode::BAD_REQUEST, "expecting 'path=value' in query");
    };
    let number = |name: &str| parameter(name).map(|(_, value)| value.parse::<i64>());
    let (Ok(offset), Ok(length)) = (number("offset").transpose(), number("length").transpose())
    else {
        return text(StatusCode::BAD_REQUEST, "offset and length must be whole numbers");
    };
    let Some(path) = percent_decode(path).map(PathBuf::from) else {
        return text(StatusCode::BAD_REQUEST, "the path is not UTF-8");
    };
    let sandboxes = sandboxes.to_owned();
    let read = tokio::task::spawn_blocking(move || read_file(&path, &sandboxes, offset, length));
    match read.await {
        Ok(Ok((data, offset))) => ok(&json!({"data": data, "offset": offset})),
        Ok(Err((status, why))) => text(status, why),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "reading failed"),
    }
}

fn read_file(
    path: &Path,
    sandboxes: &Path,
    offset: Option<i64>,
    length: Option<i64>,
) -> Result<(String, u64), (StatusCode, &'static str)> {
    let missing = (StatusCode::NOT_FOUND, "no such file");
    let inside = |path: &Path| {
        let real = path.canonicalize().ok()?;
        real.starts_with(sandboxes.canonicalize().ok()?).then_some(real)
    };
    // The task owns its sandbox and may put links into it: only where a link leads to counts.
    let path = inside(path).ok_or(missing)?;
    let file = File::open(&path).map_err(|_| missing)?;
    let size = match file.metadata() {
        Ok(meta) if meta.is_file() => meta.len(),
        Ok(_) => return Err((StatusCode::BAD_REQUEST, "not a plain file")),
        Err(_) => return Err(missing),
    };
    let Some(offset) = offset.and_then(|offset| u64::try_from(offset).ok()) else {
        return Ok((String::new(), size));
    };
    let wanted = length.and_then(|length| u64::try_from(length).ok()).unwrap_or(MOST_READ);
    let wanted = wanted.min(MOST_READ).min(size.saturating_sub(offset));
    let mut data = vec![0; usize::try_from(wanted).unwrap_or(0)];
    let read = file.read_at(&mut data, offset).map_err(|_| missing)?;
    data.truncate(read);
    Ok((String::from_utf8_lossy(&data).into_owned(), offset))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |b: u8| char::from(b).to_digit(16);
                let byte = digit(*high)? * 16 + digit(*low)?;
                bytes.push(u8::try_from(byte).ok()?);
                rest = after;
            }
            (b'%', _) => return None,
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok()
}

fn ok(value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())));
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_of_sandboxes_are_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let sandboxes = dir.path().join("slaves");
        std::fs::create_dir(&sandboxes).expect("made");
        std::fs::write(sandboxes.join("stdout"), "hello").expect("written");
        std::fs::write(dir.path().join("secret"), "secret").expect("written");
        std::os::unix::fs::symlink("../secret", sandboxes.join("link")).expect("linked");
        let read = |name: &str, offset, length| {
            read_file(&sandboxes.join(name), &sandboxes, offset, length).map_err(|e| e.0)
        };
        assert_eq!(read("stdout", None, None), Ok((String::new(), 5)));
        assert_eq!(read("stdout", Some(-1), None), Ok((String::new(), 5)));
        assert_eq!(read("stdout", Some(1), Some(3)), Ok(("ell".to_owned(), 1)));
        assert_eq!(read("stdout", Some(99), Some(3)), Ok((String::new(), 99)));
        assert_eq!(read("link", Some(0), None), Err(StatusCode::NOT_FOUND));
        assert_eq!(read("../secret", Some(0), None), Err(StatusCode::NOT_FOUND));
        assert_eq!(read(".", Some(0), None), Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn a_path_is_decoded_or_refused() {
        assert_eq!(percent_decode("/a%20b+c%C3%BC").as_deref(), Some("/a b cü"));
        assert_eq!(percent_decode("%zz"), None);
        assert_eq!(percent_decode("%f"), None);
        assert_eq!(percent_decode("%ff"), None);
    }
}
