//! CRDs read, refused and established; objects on their way in.

use super::*;

fn widget() -> Value {
    json!({"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition",
        "metadata":{"name":"widgets.example.dev"},
        "spec":{"group":"example.dev","scope":"Namespaced",
            "names":{"plural":"widgets","kind":"Widget","shortNames":["wd"]},
            "versions":[{"name":"v1","served":true,"storage":true,
                "schema":{"openAPIV3Schema":{"type":"object","properties":{
                    "spec":{"type":"object","properties":{
                        "replicas":{"type":"integer","default":1,"maximum":9},
                        "mode":{"type":"string"}},
                        "x-kubernetes-validations":[{"rule":"self.replicas != 3","message":"not three"}]},
                    "status":{"type":"object","properties":{"replicas":{"type":"integer"}}}}}},
                "subresources":{"status":{},"scale":{"specReplicasPath":".spec.replicas",
                    "statusReplicasPath":".status.replicas"}},
                "selectableFields":[{"jsonPath":".spec.mode"}]}]}})
}

fn parsed() -> Crd {
    let mut crd = widget();
    default(&mut crd);
    Crd::parse(&crd).unwrap_or_else(|e| panic!("{e:?}"))
}

#[test]
fn a_crd_is_read() {
    let crd = parsed();
    assert_eq!((crd.singular.as_str(), crd.list_kind.as_str()), ("widget", "WidgetList"));
    assert!(crd.namespaced);
    let version = crd.served("v1").expect("served");
    assert!(version.status);
    assert_eq!(version.scale.as_ref().expect("scale").spec_replicas, ["spec", "replicas"]);
    assert_eq!(version.selectable_fields, ["spec.mode"]);
    assert!(crd.served("v2").is_none());
}

#[test]
fn a_deprecated_version_names_the_one_to_use_instead() {
    let mut crd = widget();
    let versions = crd["spec"]["versions"].as_array_mut().expect("versions");
    for (name, told) in [("v1alpha1", None), ("v1beta1", Some("gone soon")), ("v2", None)] {
        let mut version = versions[0].clone();
        version["name"] = json!(name);
        version["storage"] = json!(false);
        version["deprecated"] = json!(true);
        if let Some(told) = told {
            version["deprecationWarning"] = json!(told);
        }
        versions.push(version);
    }
    default(&mut crd);
    let crd = Crd::parse(&crd).unwrap_or_else(|e| panic!("{e:?}"));
    let told: Vec<_> = crd.versions.iter().map(|v| v.deprecation.as_deref()).collect();
    assert_eq!(
        told,
        [
            None,
            Some("example.dev/v1alpha1 Widget is deprecated; use example.dev/v1 Widget"),
            Some("gone soon"),
            // What is newer than all that is good has nothing better to name.
            Some("example.dev/v2 Widget is deprecated"),
        ]
    );
}

#[test]
fn objects_are_shaped_and_checked() {
    let crd = parsed();
    let version = crd.storage().expect("storage");
    let mut object = json!({"apiVersion":"example.dev/v1","kind":"Widget",
        "metadata":{"name":"w","creationTimestamp":null,"zz":1},"spec":{"junk":1,"mode":null}});
    let unknown = version.admit(&mut object).expect("metadata is right");
    assert_eq!(unknown, [r#"unknown field "metadata.zz""#, r#"unknown field "spec.junk""#]);
    assert_eq!(object["spec"], json!({"replicas":1}));
    assert!(version.validate(Vec::new(), &object, None, Part::Whole).errors.is_empty());
    object["spec"]["replicas"] = json!(3);
    let errors = version.validate(Vec::new(), &object, None, Part::Whole).errors;
    assert_eq!(errors[0].to_string(), r#"spec: Invalid value: "object": not three"#);
    object["spec"]["replicas"] = json!("x");
    let errors = version.validate(Vec::new(), &object, None, Part::Whole).errors;
    assert_eq!(errors.len(), 3);
    assert!(
        errors[2]
            .to_string()
            .starts_with("<nil>: Invalid value: null: some validation rules were not checked")
    );
    let mut bad = json!({"metadata":"x"});
    assert!(version.admit(&mut bad).is_err());
}

#[test]
fn what_is_wrong_with_a_crd_is_told_with_its_place() {
    type Break = fn(&mut Value);
    let cases: [(Break, &str); 11] = [
        (
            |c| c["metadata"]["name"] = json!("x"),
            r#"metadata.name: Invalid value: "x": must be spec.names.plural+"."+spec.group"#,
        ),
        (
            |c| c["spec"]["scope"] = json!("Global"),
            r#"spec.scope: Unsupported value: "Global": supported values: "Cluster", "Namespaced""#,
        ),
        (
            |c| c["spec"]["versions"][0]["storage"] = json!(false),
            r#"spec.versions: Invalid value: ["v1"]: must have exactly one version marked as storage version"#,
        ),
        (
            |c| c["spec"]["versions"][0]["schema"] = json!({}),
            "spec.versions[0].schema.openAPIV3Schema: Required value",
        ),
        (
            |c| c["spec"]["versions"][0]["name"] = json!("1x"),
            r#"spec.versions[0].name: Invalid value: "1x": a DNS-1035 label"#,
        ),
        (
            |c| c["spec"]["conversion"] = json!({"strategy":"Webhook"}),
            "spec.conversion.strategy: Forbidden: this server calls no webhooks",
        ),
        (
            |c| {
                c["spec"]["versions"][0]["subresources"]["scale"]["specReplicasPath"] =
                    json!(".status.x")
            },
            "spec.subresources.scale.specReplicasPath: Invalid value: \".status.x\": should be a json path under .spec",
        ),
        (
            |c| c["spec"]["versions"][0]["selectableFields"][0]["jsonPath"] = json!(".spec.nope"),
            "spec.selectableFields[0].jsonPath: Invalid value",
        ),
        (
            |c| {
                c["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"]
                    [0]["rule"] = json!("self.nope > 1")
            },
            "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Invalid value: \"self.nope > 1\": compilation failed: undefined field 'nope'",
        ),
        (
            |c| c["spec"]["versions"] = json!("x"),
            "spec.versions: Invalid value: \"string\": spec.versions in body must be of type array",
        ),
        (
            |c| {
                c["spec"]["group"] = json!("a.k8s.io");
                c["metadata"]["name"] = json!("widgets.a.k8s.io");
            },
            "metadata.annotations[api-approved.kubernetes.io]: Required value",
        ),
    ];
    for (break_it, text) in cases {
        let mut crd = widget();
        break_it(&mut crd);
        default(&mut crd);
        let errors = Crd::parse(&crd).expect_err(text);
        assert!(errors[0].to_string().starts_with(text), "{errors:?}");
    }
}

#[test]
fn unknown_fields_of_a_crd_are_told() {
    let mut crd = widget();
    crd["spec"]["junk"] = json!(1);
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["tipe"] =
        json!(1);
    assert_eq!(
        prune(&mut crd),
        [
            r#"unknown field "spec.junk""#,
            r#"unknown field "spec.versions[0].schema.openAPIV3Schema.properties.spec.tipe""#
        ]
    );
}

#[test]
fn status_is_filled_and_keeps_its_times() {
    let mut crd = widget();
    default(&mut crd);
    fill_status(&mut crd, None, "2026-01-01T00:00:00Z".parse().expect("valid"));
    assert_eq!(crd["status"]["conditions"][1]["type"], "Established");
    assert_eq!(crd["status"]["conditions"][1]["status"], "True");
    assert_eq!(crd["status"]["storedVersions"], json!(["v1"]));
    let before = crd.clone();
    fill_status(&mut crd, None, "2026-02-01T00:00:00Z".parse().expect("valid"));
    assert_eq!(crd, before);
    let mut other = widget();
    fill_status(
        &mut other,
        Some("\"widgets\" is already in use"),
        "2026-02-01T00:00:00Z".parse().expect("valid"),
    );
    assert_eq!(other["status"]["conditions"][1]["status"], "False");
}

#[test]
fn identity_and_stored_versions_stay() {
    let mut old = widget();
    fill_status(&mut old, None, "2026-01-01T00:00:00Z".parse().expect("valid"));
    let mut new = old.clone();
    assert!(validate_update(&new, &old).is_empty());
    new["spec"]["scope"] = json!("Cluster");
    new["spec"]["versions"][0]["name"] = json!("v2");
    let errors = validate_update(&new, &old);
    assert_eq!(
        errors[0].to_string(),
        r#"spec.scope: Invalid value: "Cluster": field is immutable"#
    );
    assert!(errors[1].to_string().starts_with("status.storedVersions[0]: Invalid value: \"v1\""));
}
