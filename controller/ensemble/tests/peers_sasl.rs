//! Members that prove to each other by SASL who they are.

mod support;

use ensemble::{PeerSaslConfig, Role, SaslConfig};
use support::{Ensemble, OPEN};

fn sasl(login: Option<&str>, required: bool) -> PeerSaslConfig {
    let users = [("member".to_owned(), "word".to_owned())].into();
    let login = login.map(|word| ("member".to_owned(), word.to_owned()));
    PeerSaslConfig { users: SaslConfig { users, super_users: Vec::new() }, login, required }
}

fn three(of: impl Fn(i64) -> Option<PeerSaslConfig> + 'static) -> Ensemble {
    let mut ensemble = Ensemble::new(3, 0);
    ensemble.particular = Some(Box::new(move |id, config| {
        config.ensemble.as_mut().expect("it is one of three").sasl = of(id);
    }));
    ensemble
}

/// The third one is kept out; once it is configured as the others it is let in.
async fn kept_out(wrong: Option<PeerSaslConfig>) {
    let mut ensemble =
        three(move |id| if id == 3 { wrong.clone() } else { Some(sasl(Some("word"), true)) });
    for id in [3, 1, 2] {
        ensemble.run(id).await;
    }
    for id in 1..=2 {
        ensemble.running[&id].serving().await;
    }
    let client = ensemble.client(&[1]).await;
    client.create("/by-two", b"", OPEN).await.expect("two are a quorum");
    assert_eq!(ensemble.running[&3].view().role, Role::Looking);
    ensemble.halt(3).await;
    ensemble.particular = Some(Box::new(|_, config| {
        config.ensemble.as_mut().expect("it is one of three").sasl = Some(sasl(Some("word"), true));
    }));
    ensemble.run(3).await;
    ensemble.all_serve().await;
    ensemble.assert_alike().await;
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_with_another_password_is_kept_out() {
    kept_out(Some(sasl(Some("guess"), false))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_proves_nothing_is_kept_out() {
    kept_out(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_change_over_one_after_the_other() {
    // One knows nothing of it, one takes both, one proves itself as well.
    let mut ensemble = three(|id| match id {
        1 => None,
        2 => Some(sasl(None, false)),
        _ => Some(sasl(Some("word"), false)),
    });
    // The one that proves itself would not be understood by the first.
    for id in [1, 2] {
        ensemble.run(id).await;
    }
    ensemble.all_serve().await;
    ensemble.halt(1).await;
    ensemble.run(3).await;
    ensemble.all_serve().await;
    ensemble.assert_alike().await;
    ensemble.shutdown().await;
}
