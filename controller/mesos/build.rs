//! Compiles `proto/*.proto` into message types with protobuf (prost) and Mesos's JSON (ours).
//!
//! The JSON is not the mapping of proto3: fields keep their names, defaults are written out, required
//! fields are enforced. So the code for it is generated here, from the same descriptors.

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

const FILES: [&str; 7] =
    ["v1", "scheduler", "executor", "master", "quota", "maintenance", "allocator"];

/// Lists of the operator API that are written even when they are empty.
const ALWAYS: [(&str, &str); 7] = [
    ("GetTasks", "tasks"),
    ("GetTasks", "unreachable_tasks"),
    ("GetTasks", "completed_tasks"),
    ("GetExecutors", "executors"),
    ("GetFrameworks", "completed_frameworks"),
    ("GetAgents", "agents"),
    ("GetAgents", "recovered_agents"),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build.rs");
    let files: Vec<_> = FILES.iter().map(|name| format!("proto/{name}.proto")).collect();
    let mut set = protox::compile(&files, ["proto"])?;
    let out = env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("json.rs"), json(&set)?)?;
    // The JSON leaves deprecated defaults out; our own code reads those fields all the same.
    for message in set.file.iter_mut().flat_map(|file| &mut file.message_type) {
        use_freely(message);
    }
    let mut config = prost_build::Config::new();
    config.btree_map(["."]).include_file("modules.rs").disable_comments(["."]);
    for id in ["FrameworkID", "OfferID", "AgentID", "TaskID", "ExecutorID", "OperationID"] {
        config.type_attribute(format!(".mesos.v1.{id}"), "#[derive(Ord, PartialOrd)]");
    }
    config.compile_fds(set)?;
    Ok(())
}

fn use_freely(message: &mut DescriptorProto) {
    for options in message.field.iter_mut().filter_map(|field| field.options.as_mut()) {
        options.deprecated = None;
    }
    message.nested_type.iter_mut().for_each(use_freely);
}

/// The `Serialize`, `Deserialize` and `FromJson` of every message.
fn json(set: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let mut maps = BTreeSet::new();
    for file in &set.file {
        for message in &file.message_type {
            find_maps(&format!(".{}", file.package()), message, &mut maps);
        }
    }
    let mut out = String::new();
    for file in &set.file {
        let module = file.package().trim_start_matches("mesos.").replace('.', "::");
        let scope = format!("crate::{module}");
        for message in &file.message_type {
            one(&mut out, &scope, message, &maps)?;
        }
    }
    Ok(out)
}

fn find_maps(scope: &str, message: &DescriptorProto, maps: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", message.name());
    if message.options.as_ref().is_some_and(|options| options.map_entry()) {
        maps.insert(name.clone());
    }
    for nested in &message.nested_type {
        find_maps(&name, nested, maps);
    }
}

fn one(
    out: &mut String,
    scope: &str,
    message: &DescriptorProto,
    maps: &BTreeSet<String>,
) -> Result<(), Box<dyn Error>> {
    if message.options.as_ref().is_some_and(|options| options.map_entry()) {
        return Ok(());
    }
    let name = message.name().to_upper_camel_case();
    let (mut write, mut read, mut require) = (String::new(), String::new(), String::new());
    for field in &message.field {
        let wire = field.name();
        let ident = if wire == "type" { "r#type" } else { wire };
        if field.label() == Label::Required {
            write!(require, "cx.require(&obj, {wire:?});")?;
        }
        write!(read, "if let Some(v) = obj.take({wire:?}) {{")?;
        reading(&mut read, field, ident, maps)?;
        read.push('}');
        let always = ALWAYS.contains(&(message.name(), wire));
        writing(&mut write, field, ident, always, maps)?;
    }
    write!(
        out,
        "impl ::serde::Serialize for {scope}::{name} {{
            fn serialize<S: ::serde::Serializer>(&self, s: S) -> ::std::result::Result<S::Ok, S::Error> {{
                let mut map = s.serialize_map(None)?;
                {write}
                map.end()
            }}
        }}
        impl<'de> ::serde::Deserialize<'de> for {scope}::{name} {{
            fn deserialize<D: ::serde::Deserializer<'de>>(d: D) -> ::std::result::Result<Self, D::Error> {{
                crate::json::deserialize(d)
            }}
        }}
        impl crate::json::FromJson for {scope}::{name} {{
            fn read(cx: &mut Reader, mut obj: Object) -> ::std::result::Result<Self, JsonError> {{
                let mut out = Self::default();
                {require}
                {read}
                let _ = (cx, &mut obj);
                Ok(out)
            }}
        }}
        "
    )?;
    let inner = format!("{scope}::{}", message.name().to_snake_case());
    for nested in &message.nested_type {
        one(out, &inner, nested, maps)?;
    }
    Ok(())
}

/// Code that puts the JSON value `v` into the field.
fn reading(
    out: &mut String,
    field: &FieldDescriptorProto,
    ident: &str,
    maps: &BTreeSet<String>,
) -> Result<(), Box<dyn Error>> {
    let wire = field.name();
    let repeated = field.label() == Label::Repeated;
    if repeated && maps.contains(field.type_name()) {
        write!(out, "out.{ident} = cx.map({wire:?}, v)?;")?;
        return Ok(());
    }
    let one = match field.r#type() {
        Type::Message => format!("cx.message({wire:?}, v)?"),
        Type::Enum => format!(
            "cx.name({wire:?}, v, |n| {}::from_str_name(n).map(|e| e as i32))?",
            path(field)
        ),
        Type::String => format!("cx.string({wire:?}, v)?"),
        Type::Bytes => format!("cx.bytes({wire:?}, v)?"),
        Type::Bool => format!("cx.boolean({wire:?}, v)?"),
        Type::Double => format!("cx.double({wire:?}, v)?"),
        Type::Int32 | Type::Int64 | Type::Uint32 | Type::Uint64 => {
            format!("cx.integer({wire:?}, v)?")
        }
        other => return Err(format!("{wire}: no JSON is known for {other:?}").into()),
    };
    let is_enum = field.r#type() == Type::Enum;
    match field.label() {
        Label::Repeated if is_enum => {
            write!(out, "for v in items(v) {{ out.{ident}.extend({one}); }}")?;
        }
        Label::Repeated if field.r#type() == Type::Message => write!(
            out,
            "for (at, v) in items(v).into_iter().enumerate() {{ out.{ident}.push(cx.element({wire:?}, at, v)?); }}"
        )?,
        Label::Repeated => write!(out, "for v in items(v) {{ out.{ident}.push({one}); }}")?,
        Label::Required if is_enum => {
            write!(out, "out.{ident} = ({one}).ok_or(JsonError::UnknownName({wire:?}))?;")?;
        }
        Label::Required => write!(out, "out.{ident} = {one};")?,
        Label::Optional if is_enum => write!(out, "out.{ident} = {one};")?,
        Label::Optional => write!(out, "out.{ident} = Some({one});")?,
    }
    Ok(())
}

/// Code that writes the field to `map`.
fn writing(
    out: &mut String,
    field: &FieldDescriptorProto,
    ident: &str,
    always: bool,
    maps: &BTreeSet<String>,
) -> Result<(), Box<dyn Error>> {
    let wire = field.name();
    let repeated = field.label() == Label::Repeated;
    if repeated && maps.contains(field.type_name()) {
        write!(
            out,
            "if !self.{ident}.is_empty() {{ map.serialize_entry({wire:?}, &self.{ident})?; }}"
        )?;
        return Ok(());
    }
    // From a reference to the field's value to what is written.
    let shown = |value: &str| match field.r#type() {
        Type::Bytes => format!("&Base64({value})"),
        Type::Double => format!("&Double(*{value})"),
        _ => String::from(value),
    };
    let is_enum = field.r#type() == Type::Enum;
    let deprecated = field.options.as_ref().is_some_and(|options| options.deprecated());
    match field.label() {
        Label::Repeated if is_enum => write!(
            out,
            "if !self.{ident}.is_empty() {{
                let names: Vec<&str> = self.{ident}.iter().filter_map(|n| {}::try_from(*n).ok()).map(|e| e.as_str_name()).collect();
                map.serialize_entry({wire:?}, &names)?;
            }}",
            path(field)
        )?,
        Label::Repeated if always => {
            write!(out, "map.serialize_entry({wire:?}, &self.{ident})?;")?;
        }
        Label::Repeated => {
            write!(out, "if !self.{ident}.is_empty() {{ map.serialize_entry({wire:?}, &self.{ident})?; }}")?;
        }
        Label::Required if is_enum => {
            write!(out, "map.serialize_entry({wire:?}, self.{ident}().as_str_name())?;")?;
        }
        Label::Required => {
            write!(out, "map.serialize_entry({wire:?}, {})?;", shown(&format!("&self.{ident}")))?;
        }
        Label::Optional if field.default_value.is_some() && !deprecated => {
            let value = match field.r#type() {
                Type::Enum => format!("self.{ident}().as_str_name()"),
                Type::String => format!("self.{ident}()"),
                _ => shown(&format!("&self.{ident}()")),
            };
            write!(out, "map.serialize_entry({wire:?}, {value})?;")?;
        }
        Label::Optional if is_enum => write!(
            out,
            "if let Some(e) = self.{ident}.and_then(|n| {}::try_from(n).ok()) {{ map.serialize_entry({wire:?}, e.as_str_name())?; }}",
            path(field)
        )?,
        Label::Optional => {
            write!(out, "if let Some(v) = &self.{ident} {{ map.serialize_entry({wire:?}, {})?; }}", shown("v"))?;
        }
    }
    Ok(())
}

/// `.mesos.v1.TaskStatus.Source` as `crate::v1::task_status::Source`.
fn path(field: &FieldDescriptorProto) -> String {
    let parts: Vec<_> = field.type_name().trim_start_matches(".mesos.").split('.').collect();
    let (name, scope) = parts.split_last().expect("a type has a name");
    let scope: Vec<_> = scope.iter().map(|part| part.to_snake_case()).collect();
    format!("crate::{}::{}", scope.join("::"), name.to_upper_camel_case())
}
