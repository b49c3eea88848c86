//! How TLS and SASL between members are brought in and taken away while they run.
//!
//! Lives here: the settings that come next on the way to the declared ones. Members one rung apart understand each
//! other ([`PeerSecurity`]), so all stand on one rung before any is brought to the next. Must not: restart anybody
//! (`steps`). Source of the rungs: the ZooKeeper Administrator's Guide 3.9 on upgrading to TLS between members, and
//! the wiki page on server-server authentication.

use crds::reasons;

use crate::conditions::Health;
use crate::platform::{MemberWish, Settings};

/// The settings that all members are brought to next; and, if those are not the declared ones and no restart will
/// change that, why and what to do.
pub(super) fn next<'a>(
    target: &Settings,
    wishes: impl Iterator<Item = &'a MemberWish> + Clone,
) -> (Box<Settings>, Option<Health>) {
    let all = wishes.map(|wish| wish.settings.as_ref());
    let mut next = Box::new(target.clone());
    next.peers.tls = rung(target.peers.tls, all.clone().map(|one| one.peers.tls));
    if target.peers.tls == 0
        && let Some(known) = all.clone().find(|one| one.peers.tls > 0)
        && next.peers.tls > 0
    {
        next.peers.tls_config.clone_from(&known.peers.tls_config);
        next.peers.tls_files.clone_from(&known.peers.tls_files);
    }
    next.peers.sasl = rung(target.peers.sasl, all.clone().map(|one| one.peers.sasl));
    let Some(known) = all.clone().find(|one| one.peers.sasl > 0) else { return (next, None) };
    let leaves = target.peers.sasl == 0 && next.peers.sasl > 0;
    let stranger = target.peers.sasl > 0 && all.clone().any(|one| are_strangers(one, target));
    if leaves || stranger {
        next.jaas.clone_from(&known.jaas);
        next.peers.login.clone_from(&known.peers.login);
        next.peers.logins.clone_from(&known.peers.logins);
        next.peers.sasl = if stranger { known.peers.sasl } else { next.peers.sasl };
    }
    let why = stranger.then(|| Health::stalled(reasons::INVALID_SPEC, STRANGERS));
    (next, why)
}

/// Whether one calls the other as somebody that the other does not take.
fn are_strangers(one: &Settings, other: &Settings) -> bool {
    let takes = |by: &Settings, whom: &Settings| {
        by.peers.sasl == 0
            || whom.peers.sasl < PROVES
            || whom.peers.login.as_ref().is_none_or(|login| by.peers.logins.contains(login))
    };
    !takes(one, other) || !takes(other, one)
}

fn rung(target: u8, all: impl Iterator<Item = u8> + Clone) -> u8 {
    let (Some(least), Some(most)) = (all.clone().min(), all.max()) else { return target };
    if least < most {
        // Under way: all come to one of the two first.
        return target.clamp(least, most);
    }
    target.clamp(least.saturating_sub(1), least + 1)
}

const PROVES: u8 = 2;
const STRANGERS: &str = "spec.authentication.peers: members with the new password would not be taken by those with \
    the old one, so nothing was changed. Keep the old user in the Secret, with its password, beside a new one; when \
    the Ensemble is Ready, name the new one in spec.authentication.peers.user; when it is Ready again, remove the old";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{Membership, PeerSecurity};

    fn settings(tls: u8, sasl: u8, login: &str, logins: &[&str]) -> Settings {
        let peers = PeerSecurity {
            tls,
            sasl,
            tls_config: if tls > 0 { vec![("k".into(), "v".into())] } else { Vec::new() },
            login: (sasl > 0).then(|| login.to_owned()),
            logins: logins.iter().map(|one| (*one).to_owned()).collect(),
            ..PeerSecurity::default()
        };
        Settings { peers, jaas: Some(format!("{logins:?}")), ..Settings::default() }
    }

    fn wish(settings: Settings) -> MemberWish {
        let (membership, settings) = (Membership::default(), Box::new(settings));
        MemberWish { id: 1, membership, settings, data: 0, again: 0 }
    }

    fn check(target: &Settings, now: &[Settings]) -> (u8, u8, bool) {
        let wishes: Vec<_> = now.iter().cloned().map(wish).collect();
        let (next, why) = next(target, wishes.iter());
        (next.peers.tls, next.peers.sasl, why.is_some())
    }

    #[test]
    fn all_stand_on_one_rung_before_any_takes_the_next() {
        let rung = |tls| settings(tls, 0, "", &[]);
        let (up, down) = (rung(3), rung(0));
        assert_eq!(check(&up, &[]), (3, 0, false));
        assert_eq!(check(&up, &[rung(0), rung(0), rung(0)]), (1, 0, false));
        assert_eq!(check(&up, &[rung(1), rung(0), rung(0)]), (1, 0, false));
        assert_eq!(check(&up, &[rung(1), rung(1), rung(1)]), (2, 0, false));
        assert_eq!(check(&up, &[rung(3), rung(2), rung(3)]), (3, 0, false));
        assert_eq!(check(&down, &[rung(3), rung(3)]), (2, 0, false));
        // A change of mind in the middle goes back.
        assert_eq!(check(&down, &[rung(2), rung(1)]), (1, 0, false));
        assert_eq!(check(&down, &[rung(1), rung(1)]), (0, 0, false));
    }

    #[test]
    fn on_the_way_down_the_old_files_are_still_named() {
        let wishes = [wish(settings(3, 3, "a", &["a"]))];
        let (next, _) = next(&settings(0, 0, "", &[]), wishes.iter());
        assert_eq!(next.peers.tls_config, wishes[0].settings.peers.tls_config);
        assert_eq!(next.jaas, wishes[0].settings.jaas);
        assert_eq!((next.peers.tls, next.peers.sasl), (2, 2));
    }

    #[test]
    fn a_password_changes_by_way_of_a_second_user() {
        let (old, both) = (settings(0, 3, "a", &["a"]), settings(0, 3, "a", &["a", "b"]));
        let (named, new) = (settings(0, 3, "b", &["a", "b"]), settings(0, 3, "b", &["b"]));
        assert_eq!(check(&new, &[old.clone(), old.clone()]), (0, 3, true));
        assert_eq!(check(&named, &[old.clone(), both.clone()]), (0, 3, true));
        assert_eq!(check(&both, &[old.clone(), old]), (0, 3, false));
        assert_eq!(check(&named, &[both.clone(), both]), (0, 3, false));
        assert_eq!(check(&new, &[named.clone(), named]), (0, 3, false));
    }
}
