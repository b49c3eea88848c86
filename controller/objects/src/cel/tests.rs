//! Rules held against objects, and rules that are refused.

use serde_json::json;

use super::*;

fn schema(spec: Value) -> Schema {
    Schema::parse(&json!({"type":"object","properties":{"spec":spec}}))
}

fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn check(spec_schema: Value, spec: Value, old: Option<Value>, expected: &[&str]) {
    let schema = schema(spec_schema);
    assert_eq!(texts(&schema.check_rules(&Path::Root)), [""; 0]);
    let object = json!({"spec": spec});
    let old = old.map(|old| json!({"spec": old}));
    let outcome = schema.evaluate_rules(&object, old.as_ref());
    assert_eq!(texts(&outcome.errors), expected, "{object}");
}

fn rule(rule: Value) -> Value {
    json!({"type":"object","x-kubernetes-validations":[rule],"properties":{
        "min":{"type":"integer"},"max":{"type":"integer"},"ratio":{"type":"number"},
        "name":{"type":"string"},"namespace":{"type":"string"},"a-b":{"type":"string"},
        "size":{"x-kubernetes-int-or-string":true},
        "timeout":{"type":"string","format":"duration"},"at":{"type":"string","format":"date-time"},
        "tags":{"type":"array","items":{"type":"string"}},
        "labels":{"type":"object","additionalProperties":{"type":"string"}},
        "ports":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],
            "items":{"type":"object","properties":{"name":{"type":"string"},"port":{"type":"integer"}}}}
    }})
}

#[test]
fn messages_read_as_on_the_real_server() {
    let spec = json!({"min":0,"max":1});
    check(
        rule(json!({"rule":"self.min > 0"})),
        spec.clone(),
        None,
        &[r#"spec: Invalid value: "object": failed rule: self.min > 0"#],
    );
    check(
        rule(json!({"rule":"self.min > 0","message":"min must be positive"})),
        spec.clone(),
        None,
        &[r#"spec: Invalid value: "object": min must be positive"#],
    );
    check(
        rule(json!({"rule":"self.min > 0","messageExpression":"'min is ' + string(self.min)"})),
        spec.clone(),
        None,
        &[r#"spec: Invalid value: "object": min is 0"#],
    );
    check(
        rule(
            json!({"rule":"self.min > self.max","fieldPath":".max","reason":"FieldValueForbidden","message":"no"}),
        ),
        spec.clone(),
        None,
        &["spec.max: Forbidden: no"],
    );
    check(
        rule(json!({"rule":"self.ratio > 1.0","fieldPath":".max","reason":"FieldValueForbidden"})),
        spec.clone(),
        None,
        &[r#"spec: Invalid value: "object": no such key: ratio evaluating rule: self.ratio > 1.0"#],
    );
    check(
        rule(json!({"rule":"quantity(self.name).isGreaterThan(quantity('1'))","message":"m"})),
        json!({"name":"x!"}),
        None,
        &[
            r#"spec: Invalid value: "object": Error executing function 'quantity': no numeric value in 'x!' evaluating rule: m"#,
        ],
    );
}

#[test]
fn types_are_those_of_the_schema() {
    let holds = [
        ("self.ratio < 2.5", json!({"ratio":2})),
        ("self.timeout > duration('30m')", json!({"timeout":"1h"})),
        ("self.timeout > duration('30m')", json!({"timeout":"1d"})),
        ("self.at < timestamp('2027-01-01T00:00:00Z')", json!({"at":"2026-01-01T00:00:00Z"})),
        ("type(self.size) == int ? self.size > 1 : self.size == 'x'", json!({"size":2})),
        ("type(self.size) == int ? self.size > 1 : self.size == 'x'", json!({"size":"x"})),
        ("type(self.size) == string || type(self.size) == int", json!({"size":"x"})),
        ("self.__namespace__ == 'x' && self.a__dash__b == 'y'", json!({"namespace":"x","a-b":"y"})),
        ("!has(self.name) && has(self.min)", json!({"min":1})),
        ("self.?name.orValue('none') == 'none'", json!({})),
        ("self.?name.orValue('none') == 'x'", json!({"name":"x"})),
        ("self.tags.all(t, t.startsWith('a')) && size(self.tags) == 2", json!({"tags":["a","ab"]})),
        ("self.labels['x/y-z'] == 'v' && 'x/y-z' in self.labels", json!({"labels":{"x/y-z":"v"}})),
        (
            "self.ports.exists_one(p, p.port == 1)",
            json!({"ports":[{"name":"a","port":1},{"name":"b","port":2}]}),
        ),
        (
            "isQuantity(self.name) && quantity(self.name).isLessThan(quantity('1Gi'))",
            json!({"name":"5Mi"}),
        ),
        ("self.name.matches('^[a-z]+$')", json!({"name":"abc"})),
        ("self.tags.map(t, t + 'x').join(',') == 'ax,bx'", json!({"tags":["a","b"]})),
    ];
    for (text, spec) in holds {
        check(rule(json!({"rule": text})), spec, None, &[]);
    }
    let root = Schema::parse(&json!({"type":"object","properties":{},"x-kubernetes-validations":[
        {"rule":"self.metadata.name.size() < 4 && self.kind == 'X'","message":"short"}]}));
    assert_eq!(texts(&root.check_rules(&Path::Root)), [""; 0]);
    let outcome =
        root.evaluate_rules(&json!({"kind":"X","metadata":{"name":"abcd","labels":{}}}), None);
    assert_eq!(texts(&outcome.errors), [r#"<nil>: Invalid value: "object": short"#]);
}

#[test]
fn transitions_run_on_update_only() {
    let frozen = rule(json!({"rule":"self.name == oldSelf.name","message":"name is immutable"}));
    check(frozen.clone(), json!({"name":"a"}), None, &[]);
    check(frozen.clone(), json!({"name":"a"}), Some(json!({"name":"a"})), &[]);
    check(
        frozen,
        json!({"name":"b"}),
        Some(json!({"name":"a"})),
        &[r#"spec: Invalid value: "object": name is immutable"#],
    );
    let optional = rule(json!({
        "rule":"!oldSelf.hasValue() || oldSelf.value().name == self.name","optionalOldSelf":true,
        "message":"frozen"}));
    check(optional.clone(), json!({"name":"a"}), None, &[]);
    check(
        optional,
        json!({"name":"b"}),
        Some(json!({"name":"a"})),
        &[r#"spec: Invalid value: "object": frozen"#],
    );
}

#[test]
fn elements_of_keyed_lists_are_matched_by_key() {
    let ports = json!({"type":"object","properties":{"ports":{"type":"array",
        "x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],
        "items":{"type":"object","x-kubernetes-validations":[
            {"rule":"self.port >= oldSelf.port","message":"ports only grow"}],
            "properties":{"name":{"type":"string"},"port":{"type":"integer"}}}}}});
    check(
        ports,
        json!({"ports":[{"name":"b","port":5},{"name":"a","port":1}]}),
        Some(json!({"ports":[{"name":"a","port":2},{"name":"b","port":5}]})),
        &[r#"spec.ports[1]: Invalid value: "object": ports only grow"#],
    );
}

#[test]
fn what_was_broken_before_is_let_through_with_a_warning() {
    let schema = Schema::parse(&json!({"type":"object","properties":{
        "a":{"type":"object","properties":{"n":{"type":"integer"}},
            "x-kubernetes-validations":[{"rule":"self.n > 0","message":"n"}]},
        "b":{"type":"integer"}}}));
    let old = json!({"a":{"n":-1},"b":1});
    let outcome = schema.evaluate_rules(&json!({"a":{"n":-1},"b":2}), Some(&old));
    assert!(outcome.errors.is_empty());
    assert_eq!(outcome.warnings, [r#"a: Invalid value: "object": n"#]);
    let outcome = schema.evaluate_rules(&json!({"a":{"n":-2},"b":2}), Some(&old));
    assert_eq!(outcome.errors.len(), 1);
}

#[test]
fn rules_that_cannot_work_are_refused_with_the_crd() {
    let cases = [
        ("self.min >", "compilation failed"),
        ("self.nosuch > 0", "undefined field 'nosuch'"),
        ("has(self.nosuch)", "undefined field 'nosuch'"),
        ("self.?nosuch.hasValue()", "undefined field 'nosuch'"),
        ("self.ports.all(p, p.nosuch > 0)", "undefined field 'nosuch'"),
        ("self.name.x == 1", "type 'string' does not support field selection"),
        ("other > 0", "undeclared reference to 'other'"),
        ("nosuch(self.min)", "undeclared reference to 'nosuch'"),
        ("Thing{a: 1} == self", "unknown type"),
        ("self.name.matches('(')", "regular expression"),
        ("lists.range(self.min).size() > 0", "lists.range"),
        ("", "empty"),
    ];
    for (text, why) in cases {
        let errors = schema(rule(json!({"rule": text}))).check_rules(&Path::Root);
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert!(errors[0].message.contains(why), "{text}: {}", errors[0]);
        assert_eq!(errors[0].field, "properties[spec].x-kubernetes-validations[0].rule");
    }
    let list = json!({"type":"array","items":{"type":"string",
        "x-kubernetes-validations":[{"rule":"self == oldSelf"}]}});
    let errors = schema(list).check_rules(&Path::Root);
    assert!(
        errors[0]
            .message
            .contains("uncorrelatable portion of the schema within properties[spec].items")
    );
}

#[test]
fn no_text_exhausts_the_stack() {
    let texts = [
        "(".repeat(5000),
        format!("self{}", ".a".repeat(4000)),
        format!("1{}", "+1".repeat(4000)),
        format!("true{}", " && true".repeat(1000)),
        "[".repeat(5000),
        "!".repeat(5000),
        format!("self.min > 0{}", " ? true : true".repeat(500)),
    ];
    for text in texts {
        let schema = schema(rule(json!({"rule": text})));
        let refused = !schema.check_rules(&Path::Root).is_empty();
        let outcome = schema.evaluate_rules(&json!({"spec":{"min":1}}), None);
        assert_eq!(refused, !outcome.errors.is_empty(), "{}", &text[..20]);
    }
}

#[test]
fn the_deepest_expression_accepted_runs_on_an_ordinary_stack() {
    let text = format!("{}self.min == 1{}", "(true ? ".repeat(40), " : false)".repeat(40));
    check(rule(json!({"rule": text})), json!({"min":1}), None, &[]);
    let text = format!("1{} > 0", "+1".repeat(95));
    check(rule(json!({"rule": text})), json!({"min":1}), None, &[]);
}

#[test]
fn work_is_bounded() {
    let tags: Vec<String> = (0..3000).map(|i| format!("tag-{i}")).collect();
    let hostile = [
        "self.tags.all(a, self.tags.all(b, self.tags.all(c, a + b != c)))",
        "self.tags.map(a, self.tags.map(b, self.tags.map(c, [a, b, c]))).size() > 0",
        "self.tags.join('x').split('').all(a, self.tags.join('').split('').all(b, a != b))",
    ];
    for text in hostile {
        let schema = schema(rule(json!({"rule": text})));
        assert_eq!(texts(&schema.check_rules(&Path::Root)), [""; 0]);
        let outcome = schema.evaluate_rules(&json!({"spec":{"tags": tags}}), None);
        assert_eq!(outcome.errors.len(), 1, "{text}");
        assert!(outcome.errors[0].message.contains("cost budget"), "{}", outcome.errors[0]);
    }
    let honest = [
        "self.tags.all(a, a.startsWith('tag'))",
        "self.tags.exists(a, a == 'tag-999')",
        "self.tags.filter(a, a.endsWith('9')).size() == 100",
        "self.tags.map(a, a.size()).sum() > 0",
    ];
    for text in honest {
        check(rule(json!({"rule": text})), json!({"tags": tags[..1000]}), None, &[]);
    }
    check(
        rule(json!({"rule": "self.ports.all(p, self.ports.exists_one(q, q.name == p.name))"})),
        json!({"ports": (0..128).map(|i| json!({"name": format!("p{i}"), "port": i})).collect::<Vec<_>>()}),
        None,
        &[],
    );
}
