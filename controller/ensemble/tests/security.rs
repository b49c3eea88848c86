//! Clients that prove who they are: by TLS, and by SASL.

#[path = "support/authority.rs"]
mod authority;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use authority::Authority;
use ensemble::{ClientAuth, Member, MemberConfig, SaslConfig, TlsConfig, TlsVersions};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, StreamOwned};

const WHO_AM_I: i32 = 107;
const SASL: i32 = 102;
const AUTH: i32 = 100;

fn secure(addr: SocketAddr, config: Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("localhost").expect("a good name");
    let tls = ClientConnection::new(config, name).expect("a good configuration");
    StreamOwned::new(tls, TcpStream::connect(addr).expect("it listens"))
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = i32::try_from(bytes.len()).expect("short");
    [&length.to_be_bytes(), bytes].concat()
}

fn receive(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length")];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn open(stream: &mut (impl Read + Write)) -> std::io::Result<()> {
    let mut connect = vec![0; 12];
    connect.extend_from_slice(&10_000_i32.to_be_bytes());
    connect.extend_from_slice(&[0; 8]);
    connect.extend_from_slice(&16_i32.to_be_bytes());
    connect.extend_from_slice(&[0; 17]);
    stream.write_all(&frame(&connect))?;
    receive(stream).map(drop)
}

/// The error and the body of an answer.
fn request(stream: &mut (impl Read + Write), op: i32, body: &[u8]) -> (i32, Vec<u8>) {
    let request = [&1_i32.to_be_bytes(), &op.to_be_bytes(), body].concat();
    stream.write_all(&frame(&request)).expect("it reads");
    let answer = receive(stream).expect("it answers");
    let error = i32::from_be_bytes(answer[12..16].try_into().expect("4 bytes"));
    (error, answer[16..].to_vec())
}

fn who(stream: &mut (impl Read + Write)) -> String {
    let (error, body) = request(stream, WHO_AM_I, &[]);
    assert_eq!(error, 0);
    String::from_utf8_lossy(&body).into_owned()
}

fn tls(dir: &Path) -> TlsConfig {
    TlsConfig {
        secure_addr: Some(loopback()),
        unify: true,
        versions: TlsVersions::default(),
        key_store: dir.join("server.pem").into(),
        trust_store: Some(dir.join("trust.pem").into()),
        client_auth: ClientAuth::Need,
        reload: false,
        super_user: Some("CN=root".to_owned()),
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_an_id_on_either_port() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let authority = Authority::new();
    authority.write_server(dir.path(), "server", "localhost");
    let mut config = MemberConfig::in_process(dir.path().join("data"));
    config.client_addr = Some(loopback());
    config.tls = Some(tls(dir.path()));
    let member = Member::start(config).await.expect("the directory is new");
    let plain = member.client_addr().expect("it was asked for");
    let only = member.secure_addr().expect("it was asked for");
    for addr in [plain, only] {
        let mut stream = secure(addr, authority.client(Some("jane")));
        open(&mut stream).expect("it is let in");
        let ids = who(&mut stream);
        assert!(ids.contains("x509") && ids.contains("CN=jane") && !ids.contains("super"), "{ids}");
        let packet = [&[0; 4][..], &frame(b"x509"), &frame(b"")].concat();
        assert_eq!(request(&mut stream, AUTH, &packet).0, 0, "it has shown its certificate");
        assert_eq!(who(&mut stream), ids);
        let mut stream = secure(addr, authority.client(Some("root")));
        open(&mut stream).expect("it is let in");
        assert!(who(&mut stream).contains("super"));
        // An answer longer than one record of TLS.
        let path = format!("/{}", "n".repeat(100_000));
        let mut exists = i32::try_from(path.len()).expect("short").to_be_bytes().to_vec();
        exists.extend_from_slice(path.as_bytes());
        let sync = request(&mut stream, 9, &exists);
        assert_eq!((sync.0, sync.1.len()), (0, path.len() + 4));

        open(&mut secure(addr, authority.client(None))).expect_err("it has no certificate");
        let stranger = Authority::new();
        open(&mut secure(addr, stranger.client(Some("jane")))).expect_err("nobody knows it");
    }
    let mut stream = TcpStream::connect(plain).expect("it listens");
    open(&mut stream).expect("the plain port takes plain clients, too");
    assert!(!who(&mut stream).contains("x509"));
    let packet = [&[0; 4][..], &frame(b"x509"), &frame(b"")].concat();
    assert_eq!(request(&mut stream, AUTH, &packet).0, -115, "it has shown none");
    let mut stream = TcpStream::connect(only).expect("it listens");
    open(&mut stream).expect_err("the other one does not");
    let mut stream = secure(only, authority.client(Some("jane")));
    stream.write_all(b"srvr").expect("it reads");
    let mut answer = Vec::new();
    // Java's servers end without saying so in TLS, and so may we.
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"Zookeeper version: "));
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_version_is_spoken_that_is_not_configured() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let authority = Authority::new();
    authority.write_server(dir.path(), "server", "localhost");
    let mut config = MemberConfig::in_process(dir.path().join("data"));
    config.tls = Some(TlsConfig { versions: TlsVersions::Tls12, ..tls(dir.path()) });
    let member = Member::start(config).await.expect("the directory is new");
    let addr = member.secure_addr().expect("it was asked for");
    let mut stream = secure(addr, authority.client(Some("jane")));
    open(&mut stream).expect("the client speaks both");
    assert_eq!(stream.conn.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_certificates_are_used_and_bad_ones_are_not() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let old = Authority::new();
    old.write_server(dir.path(), "server", "localhost");
    let mut config = MemberConfig::in_process(dir.path().join("data"));
    config.tls = Some(TlsConfig { reload: true, ..tls(dir.path()) });
    let member = Member::start(config).await.expect("the directory is new");
    let addr = member.secure_addr().expect("it was asked for");
    open(&mut secure(addr, old.client(Some("jane")))).expect("it is let in");
    let new = Authority::new();
    new.write_server(dir.path(), "server", "localhost");
    // Nobody tells the member; it finds out with one of the next connections.
    while open(&mut secure(addr, new.client(Some("jane")))).is_err() {}
    open(&mut secure(addr, old.client(Some("jane")))).expect_err("it is nobody's now");
    member.shutdown().await;
}

#[test]
fn certificates_that_cannot_be_used_keep_a_member_from_starting() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let dir = tempfile::tempdir().expect("a temporary directory");
    Authority::new().write_server(dir.path(), "server", "localhost");
    fs::rename(dir.path().join("trust.pem"), dir.path().join("server.pem")).expect("it is there");
    let mut config = MemberConfig::in_process(dir.path().join("data"));
    config.tls = Some(TlsConfig { secure_addr: None, ..tls(dir.path()) });
    let refused = runtime.block_on(Member::start(config)).expect_err("no key");
    let source = std::error::Error::source(&refused).expect("a cause").to_string();
    assert!(source.contains("server.pem holds no private key"), "{source}");
    assert!(!dir.path().join("data").exists(), "a start that fails leaves no files");
}

/// What a client of Java's answers to a challenge.
fn answer(challenge: &str, user: &str, password: &str) -> Vec<u8> {
    use md5::{Digest, Md5};
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let nonce = challenge.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next());
    let nonce = nonce.expect("a nonce");
    let uri = "zookeeper/zk-sasl-md5";
    let secret = Md5::digest(format!("{user}:zk-sasl-md5:{password}"));
    let a1 = [&secret[..], format!(":{nonce}:cn").as_bytes()].concat();
    let (a1, a2) = (hex(&Md5::digest(a1)), hex(&Md5::digest(format!("AUTHENTICATE:{uri}"))));
    let proof = hex(&Md5::digest(format!("{a1}:{nonce}:00000001:cn:auth:{a2}")));
    format!(
        "charset=utf-8,username=\"{user}\",realm=\"zk-sasl-md5\",nonce=\"{nonce}\",nc=00000001,\
         cnonce=\"cn\",digest-uri=\"{uri}\",maxbuf=65536,response={proof},qop=auth"
    )
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_proven_without_being_sent_and_may_be_required() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = MemberConfig::in_process(dir.path());
    config.client_addr = Some(loopback());
    let users = [("jane".to_owned(), "secret".to_owned()), ("adm".to_owned(), "a".to_owned())];
    config.sasl = Some(SaslConfig { users: users.into(), super_users: vec!["adm".to_owned()] });
    config.required_schemes = vec!["sasl".to_owned()];
    let member = Member::start(config).await.expect("the directory is new");
    let addr = member.client_addr().expect("it was asked for");
    let prove = |user: &str, password: &str| {
        let mut stream = TcpStream::connect(addr).expect("it listens");
        open(&mut stream).expect("it is let in");
        let (error, token) = request(&mut stream, SASL, &frame(b""));
        assert_eq!(error, 0);
        let challenge = String::from_utf8(token[4..].to_vec()).expect("text");
        let (error, token) =
            request(&mut stream, SASL, &frame(&answer(&challenge, user, password)));
        (stream, error, token)
    };
    let (mut stream, error, token) = prove("jane", "secret");
    assert_eq!((error, &token[4..12]), (0, &b"rspauth="[..]));
    let ids = who(&mut stream);
    assert!(ids.contains("sasl") && ids.contains("jane") && !ids.contains("super"), "{ids}");
    assert!(who(&mut prove("adm", "a").0).contains("super"));
    let (mut stream, error, _) = prove("jane", "other");
    assert_eq!(error, -124, "authentication is required here");
    assert_eq!(stream.read(&mut [0; 9]).expect("it is closed"), 0);

    let mut stream = TcpStream::connect(addr).expect("it listens");
    open(&mut stream).expect("it is let in");
    assert_eq!(request(&mut stream, WHO_AM_I, &[]).0, -124);
    assert_eq!(stream.read(&mut [0; 9]).expect("it is closed"), 0);
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fails_to_prove_a_password_may_stay_as_nobody_where_that_is_configured() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = MemberConfig::in_process(dir.path());
    config.client_addr = Some(loopback());
    config.sasl = Some(SaslConfig::default());
    config.sasl_failed_stay = true;
    let member = Member::start(config).await.expect("the directory is new");
    let addr = member.client_addr().expect("it was asked for");
    let mut stream = TcpStream::connect(addr).expect("it listens");
    open(&mut stream).expect("it is let in");
    assert_eq!(request(&mut stream, SASL, &frame(b"")).0, 0);
    let (error, token) = request(&mut stream, SASL, &frame(b"no proof"));
    assert_eq!((error, &token[..]), (0, &[0xff; 4][..]));
    let ids = who(&mut stream);
    assert!(ids.contains("127.0.0.1") && !ids.contains("sasl"), "{ids}");
    member.shutdown().await;
}
