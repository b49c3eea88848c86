//! The keys that say how much clients may ask for at a time.

use std::time::Duration;

use super::keys::{CONNECTIONS, Effect, MILLIS, millis, number, switch};
use crate::{
    ConnectionDrops, ConnectionTokens, ConnectionWeights, LargeRequests, MemberConfig,
    RequestThrottle,
};

/// What the file says of it.
#[derive(Debug)]
pub(super) struct Limits {
    tokens: ConnectionTokens,
    weighted: bool,
    weights: ConnectionWeights,
    /// `None`: nobody is let go by chance.
    freeze_time: Option<Duration>,
    drops: ConnectionDrops,
    /// From which length on requests are long; `None`: none is.
    large_threshold: Option<usize>,
    large_most: usize,
    requests: RequestThrottle,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tokens: ConnectionTokens::default(),
            weighted: false,
            weights: ConnectionWeights::default(),
            freeze_time: None,
            drops: ConnectionDrops::default(),
            large_threshold: None,
            large_most: 100 << 20,
            requests: RequestThrottle::default(),
        }
    }
}

impl Limits {
    /// Takes one key; `None`: it is about something else.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Option<Result<Effect, &'static str>> {
        self.try_set(key, value).transpose()
    }

    fn try_set(&mut self, key: &str, value: &str) -> Result<Option<Effect>, &'static str> {
        let Self { tokens, weighted, weights, freeze_time, drops, requests, .. } = self;
        match key {
            "connection_throttle_tokens" => tokens.most = number(value).ok_or(CONNECTIONS)?,
            "connection_throttle_fill_time" => tokens.fill_time = millis(value).ok_or(MILLIS)?,
            "connection_throttle_fill_count" => {
                tokens.fill_count = number(value).ok_or(CONNECTIONS)?;
            }
            "connection_throttle_freeze_time" => *freeze_time = maybe_millis(value)?,
            "connection_throttle_drop_increase" => drops.increase = fraction(value)?,
            "connection_throttle_drop_decrease" => drops.decrease = fraction(value)?,
            "connection_throttle_decrease_ratio" => drops.decrease_ratio = fraction(value)?,
            "connection_throttle_weight_enabled" => *weighted = switch(value)?,
            "connection_throttle_global_session_weight" => weights.global = weight(value)?,
            "connection_throttle_local_session_weight" => weights.local = weight(value)?,
            "connection_throttle_renew_session_weight" => weights.renewed = weight(value)?,
            "request_throttle_max_requests" => {
                requests.most = number(value).ok_or("a number of requests, or 0")?;
            }
            "request_throttle_stall_time" => requests.stall_time = millis(value).ok_or(MILLIS)?,
            "request_throttle_drop_stale" => requests.drop_stale = switch(value)?,
            "request_stale_connection_check" => requests.stale_connection_check = switch(value)?,
            "request_stale_latency_check" => requests.stale_latency_check = switch(value)?,
            "request_throttler.shutdownTimeout" => {
                requests.shutdown_timeout = millis(value).ok_or(MILLIS)?;
            }
            // 0 is none, too, as with Apache.
            "throttled_op_wait_time" => {
                let time = maybe_millis(value)?;
                requests.throttled_op_wait_time = time.filter(|time| !time.is_zero());
            }
            "largeRequestThreshold" if value == "-1" => self.large_threshold = None,
            "largeRequestThreshold" => {
                let threshold = bytes(value).ok_or("a number of bytes above 0, or -1")?;
                self.large_threshold = Some(threshold);
            }
            "largeRequestMaxBytes" => {
                self.large_most = bytes(value).ok_or("a number of bytes above 0")?;
            }
            _ => return Ok(None),
        }
        Ok(Some(Effect::Some))
    }

    /// All keys were taken.
    pub(super) fn finish(self, config: &mut MemberConfig) {
        let Self { tokens, weighted, weights, freeze_time, drops, .. } = self;
        let ConnectionWeights { global, local, renewed } = weights;
        // A session of one member is the least that there is, as with Apache.
        let weights =
            ConnectionWeights { global: global.max(local), local, renewed: renewed.max(local) };
        config.connection_tokens = ConnectionTokens {
            weights: weighted.then_some(weights),
            drops: freeze_time.map(|freeze_time| ConnectionDrops { freeze_time, ..drops }),
            ..tokens
        };
        config.request_throttle = self.requests;
        let most = self.large_most;
        config.large_requests =
            self.large_threshold.map(|threshold| LargeRequests { threshold, most });
    }
}

/// -1 is Apache's word for none.
fn maybe_millis(value: &str) -> Result<Option<Duration>, &'static str> {
    if value == "-1" {
        return Ok(None);
    }
    let ms: u32 = number(value).ok_or("a number of milliseconds, or -1")?;
    Ok(Some(Duration::from_millis(ms.into())))
}

fn bytes(value: &str) -> Option<usize> {
    number(value).filter(|bytes| *bytes > 0)
}

fn fraction(value: &str) -> Result<f64, &'static str> {
    number(value).filter(|part| (0.0..=1.0).contains(part)).ok_or("a fraction from 0 to 1")
}

fn weight(value: &str) -> Result<u32, &'static str> {
    number(value).filter(|weight| *weight > 0).ok_or("a number above 0")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;
    use super::*;

    fn check(lines: &str) -> Result<MemberConfig, String> {
        let text = format!("dataDir=/d\nclientPort=1\n{lines}");
        let (config, warnings) =
            parse(Path::new("zoo.cfg"), &text, &[]).map_err(|why| why.to_string())?;
        assert!(warnings.is_empty(), "{warnings:?}");
        Ok(config)
    }

    #[test]
    fn connections_take_tokens_by_their_weight_and_are_let_go_by_chance() {
        let tokens = |lines: &str| check(lines).expect("it is right").connection_tokens;
        let lines = "connection_throttle_tokens=7\nconnection_throttle_fill_time=20\n\
            connection_throttle_fill_count=3\n";
        let fill_time = Duration::from_millis(20);
        let plain =
            ConnectionTokens { most: 7, fill_time, fill_count: 3, ..ConnectionTokens::default() };
        assert_eq!(tokens(lines), plain);
        // What is set has no effect while it is not switched on.
        let off = "connection_throttle_local_session_weight=2\n\
            connection_throttle_drop_increase=0.5\nconnection_throttle_freeze_time=-1\n";
        assert_eq!(tokens(&format!("{lines}{off}")), plain);
        let on = "connection_throttle_weight_enabled=true\n\
            connection_throttle_local_session_weight=5\n\
            connection_throttle_renew_session_weight=6\n\
            connection_throttle_freeze_time=100\nconnection_throttle_drop_increase=0.5\n\
            connection_throttle_drop_decrease=.25\nconnection_throttle_decrease_ratio=1\n";
        let weights = Some(ConnectionWeights { global: 5, local: 5, renewed: 6 });
        let freeze_time = Duration::from_millis(100);
        let drops = Some(ConnectionDrops {
            freeze_time,
            increase: 0.5,
            decrease: 0.25,
            decrease_ratio: 1.0,
        });
        assert_eq!(tokens(&format!("{lines}{on}")), ConnectionTokens { weights, drops, ..plain });
    }

    #[test]
    fn requests_are_long_from_a_length_on() {
        let large = |lines: &str| check(lines).expect("it is right").large_requests;
        assert_eq!(large("largeRequestMaxBytes=5\n"), None);
        assert_eq!(large("largeRequestThreshold=-1\n"), None);
        let most = 100 << 20;
        let threshold = 1000;
        assert_eq!(large("largeRequestThreshold=1000\n"), Some(LargeRequests { threshold, most }));
        let both = "largeRequestThreshold=1000\nlargeRequestMaxBytes=5000\n";
        assert_eq!(large(both), Some(LargeRequests { threshold, most: 5000 }));
    }

    #[test]
    fn so_many_requests_are_in_process() {
        let requests = |lines: &str| check(lines).expect("it is right").request_throttle;
        let plain = RequestThrottle::default();
        assert_eq!(requests("throttled_op_wait_time=0\nrequest_throttle_max_requests=0\n"), plain);
        let all = "request_throttle_max_requests=20\nrequest_throttle_stall_time=30\n\
            request_throttle_drop_stale=false\nrequest_stale_connection_check=false\n\
            request_stale_latency_check=true\nrequest_throttler.shutdownTimeout=40\n\
            throttled_op_wait_time=50\n";
        let expected = RequestThrottle {
            most: 20,
            stall_time: Duration::from_millis(30),
            drop_stale: false,
            stale_connection_check: false,
            stale_latency_check: true,
            throttled_op_wait_time: Some(Duration::from_millis(50)),
            shutdown_timeout: Duration::from_millis(40),
        };
        assert_eq!(requests(all), expected);
    }

    #[test]
    fn what_no_limit_can_be_is_named() {
        for (wrong, right) in [
            ("connection_throttle_tokens=-1", CONNECTIONS),
            ("connection_throttle_fill_time=0", MILLIS),
            ("connection_throttle_freeze_time=-2", "a number of milliseconds, or -1"),
            ("connection_throttle_drop_increase=1.5", "a fraction from 0 to 1"),
            ("connection_throttle_drop_decrease=NaN", "a fraction from 0 to 1"),
            ("connection_throttle_decrease_ratio=some", "a fraction from 0 to 1"),
            ("request_throttle_max_requests=-1", "a number of requests, or 0"),
            ("request_throttle_stall_time=0", MILLIS),
            ("request_throttle_drop_stale=1", "true or false"),
            ("request_stale_connection_check=", "true or false"),
            ("request_stale_latency_check=yes", "true or false"),
            ("request_throttler.shutdownTimeout=never", MILLIS),
            ("throttled_op_wait_time=-5", "a number of milliseconds, or -1"),
            ("largeRequestThreshold=0", "a number of bytes above 0, or -1"),
            ("largeRequestThreshold=-2", "a number of bytes above 0, or -1"),
            ("largeRequestMaxBytes=0", "a number of bytes above 0"),
            ("connection_throttle_weight_enabled=on", "true or false"),
            ("connection_throttle_global_session_weight=0", "a number above 0"),
            ("connection_throttle_local_session_weight=-1", "a number above 0"),
            ("connection_throttle_renew_session_weight=two", "a number above 0"),
        ] {
            let expected = format!("zoo.cfg: line 3: {wrong} is not {right}");
            assert_eq!(check(wrong).expect_err("it is wrong"), expected);
        }
    }
}
