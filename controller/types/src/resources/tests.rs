//! Arithmetic against plain sets of integers, and the text form both ways.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn some(text: &str) -> Resources {
    Resources::parse(text).expect("the test's text is valid")
}

#[test]
fn thousandths_are_exact() {
    let mut sum = some("cpus:0.1");
    sum.add(&some("cpus:0.2"));
    assert_eq!(sum, some("cpus:0.3"));
    assert_eq!(some("cpus:0.0004"), Resources::new());
    assert_eq!(some("mem:1.5").memory(), Bytes(3 << 19));
}

#[test]
fn reservations_stay_apart_and_go_down_only() {
    let all = some("cpus:2;cpus(eng):1;cpus(eng/dev):4");
    let role = |name| Role::parse(name).expect("a role");
    assert_eq!(all.scalar("cpus"), Scalar::from_milli(7000));
    assert_eq!(all.allocatable_to(&role("eng")), some("cpus:2;cpus(eng):1"));
    assert_eq!(all.allocatable_to(&role("eng/dev")), all);
    assert_eq!(all.allocatable_to(&role("english")), some("cpus:2"));
    assert!(!all.contains(&some("cpus:3")));
}

#[test]
fn what_is_not_there_is_told_with_figures() {
    let err = some("cpus:2;mem:64").minus(&some("cpus:3")).expect_err("three of two");
    assert_eq!(err.to_string(), "cpus: 3 wanted, 2 available");
    let err = some("mem:64").minus(&some("ports:[1-2]")).expect_err("no ports");
    assert_eq!(err.to_string(), "ports: [1-2] wanted, none available");
}

#[test]
fn bad_texts_are_named() {
    let said = |text| Resources::parse(text).expect_err("a bad text").to_string();
    assert_eq!(said("cpus"), "resource \"cpus\": write it as name:value, for example cpus:2");
    assert_eq!(said("cpus:-1"), "resource \"cpus:-1\": it is negative");
    assert_eq!(said("mem:1e300"), "resource \"mem:1e300\": it is above 9000000000000");
    assert_eq!(said("mem:NaN"), "resource \"mem:NaN\": it is not a finite number");
    assert!(said("ports:[5-1]").contains("the value is a number, ranges"));
    assert!(said("cpus(a b):1").contains("white space"));
    assert!(said("cpus:1;cpus:[1-2]").contains("another kind"));
}

#[test]
fn roles_are_checked() {
    for bad in ["", "/a", "a/", "a//b", "a/./b", "a/*", "-a", "a/-b", "a b", "a\u{7f}"] {
        assert!(Role::parse(bad).is_err(), "{bad:?}");
    }
    for good in ["*", "eng", "eng/dev", "a.b", "..."] {
        assert!(Role::parse(good).is_ok(), "{good:?}");
    }
}

fn amounts() -> impl Strategy<Value = Resources> {
    let range = (0u64..40, 0u64..6);
    (0i64..5000, 0i64..5000, prop::collection::vec(range, 0..4)).prop_map(
        |(cpus, reserved, ranges)| {
            let mut ports = RangeSet::default();
            for (begin, length) in ranges {
                ports.add(&RangeSet::new(begin, begin + length));
            }
            let eng = Role::parse("eng").expect("a role");
            [
                (ResourceKey::unreserved("cpus"), Value::Scalar(Scalar::from_milli(cpus))),
                (ResourceKey::reserved("cpus", eng), Value::Scalar(Scalar::from_milli(reserved))),
                (ResourceKey::unreserved("ports"), Value::Ranges(ports)),
            ]
            .into_iter()
            .collect()
        },
    )
}

fn ports(of: &Resources) -> BTreeSet<u64> {
    of.ranges("ports").values().collect()
}

proptest! {
    #[test]
    fn printed_and_read_back_is_the_same(all in amounts()) {
        prop_assert_eq!(Resources::parse(&all.to_string()), Ok(all));
    }

    #[test]
    fn ranges_are_sets_of_integers(a in amounts(), b in amounts()) {
        let mut union = a.clone();
        union.add(&b);
        prop_assert_eq!(ports(&union), &ports(&a) | &ports(&b));
        let mut left = a.clone();
        left.subtract_available(&b);
        prop_assert_eq!(ports(&left), &ports(&a) - &ports(&b));
        prop_assert_eq!(
            a.ranges("ports").contains(&b.ranges("ports")),
            ports(&a).is_superset(&ports(&b))
        );
        for value in 0..50 {
            prop_assert_eq!(a.ranges("ports").has(value), ports(&a).contains(&value));
        }
    }

    #[test]
    fn contained_is_what_can_be_subtracted(a in amounts(), b in amounts()) {
        prop_assert_eq!(a.contains(&b), a.minus(&b).is_ok());
        let mut sum = a.clone();
        sum.add(&b);
        prop_assert!(sum.contains(&a) && sum.contains(&b));
        if let Ok(left) = a.minus(&b) {
            let mut back = left;
            back.add(&b);
            prop_assert_eq!(back, a);
        }
    }
}
