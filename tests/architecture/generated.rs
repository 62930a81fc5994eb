//! The code in `proto/generated`, which is made from the protocol files and committed:
//! so the broker is built without the compiler of the protocols and all that it needs.
//! With `UPDATE=1` the test writes it.

use std::env;
use std::fs;
use std::path::Path;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto};
use protox::Compiler;
use tonic_prost_build::Config;

const ROOT: &str = "proto";
const GENERATED: &str = "proto/generated";
const ADMIN: &str = "snowflake/broker/admin/v1/admin.proto";
const CLUSTER: &str = "snowflake/broker/cluster/v1/cluster.proto";
const FEDERATION: &str = "snowflake/broker/federation/v1/federation.proto";

/// The package whose messages are also printed as JSON.
const PRINTED: &str = "snowflake.broker.admin.v1";
/// The functions that write values as JSON of Protocol Buffers does.
const JSON: &str = "crate::proto::json";

#[test]
fn the_generated_code_is_that_of_the_protocol_files() {
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path());
    let is_update = env::var_os("UPDATE").is_some();
    let mut names = Vec::new();
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let committed = Path::new(GENERATED).join(file.file_name());
        let generated = fs::read(file.path()).unwrap();
        if is_update {
            fs::write(&committed, &generated).unwrap();
        }
        assert!(
            fs::read(&committed).is_ok_and(|committed| committed == generated),
            "{} is out of date: UPDATE=1 cargo test generated writes it",
            committed.display()
        );
        names.push(file.file_name());
    }
    let committed = fs::read_dir(GENERATED).unwrap();
    for name in committed.map(|file| file.unwrap().file_name()) {
        assert!(names.contains(&name), "{name:?} is not generated");
    }
}

/// All that federated peers, who are other operators, tell each other.
const TOLD_TO_PEERS: [&str; 21] = [
    "Answer.answer",
    "Bridges.fingerprints",
    "MatchOfferRequest.attempt",
    "MatchOfferRequest.fingerprint",
    "MatchOfferRequest.nat",
    "MatchOfferRequest.offer",
    "MatchOfferRequest.private_pool",
    "MatchOfferRequest.rendezvous",
    "MatchOfferResponse.answer",
    "MatchOfferResponse.no_proxies",
    "MatchOfferResponse.refused",
    "MatchOfferResponse.timed_out",
    "PoolSupply.pool",
    "PoolSupply.proxies",
    "PrivatePoolSupply.name",
    "PrivatePoolSupply.pools",
    "Refused.reason",
    "Supply.bridges",
    "Supply.pools",
    "Supply.private_pools",
    "Supply.state",
];

#[test]
fn peers_are_told_these_fields_and_no_others() {
    let descriptors = compile(&[FEDERATION]).file_descriptor_set();
    let files = descriptors.file.iter();
    let messages = files.flat_map(|file| &file.message_type);
    let mut fields: Vec<String> = messages
        .flat_map(|message| {
            assert!(message.nested_type.is_empty(), "{}", message.name());
            let fields = message.field.iter();
            fields.map(|field| format!("{}.{}", message.name(), field.name()))
        })
        .collect();
    fields.sort();
    assert_eq!(fields, TOLD_TO_PEERS);
}

/// Writes the types and services of all protocols to the folder, and the descriptors of
/// the administration, by which the broker tells other clients of its services.
fn generate(folder: &Path) {
    let descriptors = compile(&[ADMIN]).encode_file_descriptor_set();
    fs::write(folder.join("descriptors.bin"), descriptors).unwrap();

    let descriptors = compile(&[ADMIN, CLUSTER, FEDERATION]).file_descriptor_set();
    let mut config = Config::new();
    for file in &descriptors.file {
        if file.package() == PRINTED {
            let is_printed = |message: &&DescriptorProto| !message.name().ends_with("Request");
            for message in file.message_type.iter().filter(is_printed) {
                print_message(&mut config, message);
            }
            for values in &file.enum_type {
                print_enumeration(&mut config, PRINTED, values);
            }
        }
    }
    tonic_prost_build::configure()
        .out_dir(folder)
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(descriptors, config)
        .unwrap();
}

fn compile(files: &[&str]) -> Compiler {
    let mut compiler = Compiler::new([ROOT]).unwrap();
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(files)
        .unwrap();
    compiler
}

/// Derives JSON for a message: its fields have names in camel case, and those that can
/// be unset are left out where they are.
fn print_message(config: &mut Config, message: &DescriptorProto) {
    assert!(
        message
            .oneof_decl
            .iter()
            .all(|one| one.name().starts_with('_'))
    );
    let path = format!("{PRINTED}.{}", message.name());
    config.type_attribute(&path, "#[derive(serde::Serialize)]");
    config.type_attribute(&path, "#[serde(rename_all = \"camelCase\")]");
    for values in &message.enum_type {
        print_enumeration(config, &path, values);
    }
    for field in &message.field {
        let field_path = format!("{path}.{}", field.name());
        if let Some(function) = function(message, field) {
            let attribute = format!("#[serde(serialize_with = \"{JSON}::{function}\")]");
            config.field_attribute(&field_path, attribute);
        }
        let is_message = field.r#type() == Type::Message && field.label() != Label::Repeated;
        if is_message || field.proto3_optional() {
            let attribute = "#[serde(skip_serializing_if = \"Option::is_none\")]";
            config.field_attribute(&field_path, attribute);
        }
    }
}

/// Derives JSON for an enumeration, whose values have the names of the protocol.
fn print_enumeration(config: &mut Config, parent: &str, values: &EnumDescriptorProto) {
    let path = format!("{parent}.{}", values.name());
    config.type_attribute(&path, "#[derive(serde::Serialize)]");
    for value in &values.value {
        let attribute = format!("#[serde(rename = \"{}\")]", value.name());
        config.field_attribute(format!("{path}.{}", value.name()), attribute);
    }
}

/// The function that writes a field, where serde would write something else.
fn function(message: &DescriptorProto, field: &FieldDescriptorProto) -> Option<String> {
    let type_name = field.type_name().rsplit('.').next().unwrap_or_default();
    let is_map = message
        .nested_type
        .iter()
        .any(|nested| nested.name() == type_name);
    let of_type = match (field.r#type(), field.type_name()) {
        (Type::Int64 | Type::Uint64, _) => "integer",
        (Type::Double, _) if field.proto3_optional() => "optional_number",
        (Type::Double, _) => "number",
        (Type::Message, ".google.protobuf.Duration") => "duration",
        (Type::Message, ".google.protobuf.Timestamp") => "timestamp",
        (Type::Message, _) if is_map => return Some("integers_by_name".to_owned()),
        (Type::Bool | Type::String | Type::Int32 | Type::Uint32 | Type::Message, _) => return None,
        (Type::Enum, path) => &format!("enumeration::<{}, _>", in_rust(path)),
        other => panic!("{}: no JSON for {other:?}", field.name()),
    };
    assert_ne!(field.label(), Label::Repeated, "{}", field.name());
    Some(of_type.to_owned())
}

/// The type that stands for an enumeration: one in a message is in the message's module.
fn in_rust(path: &str) -> String {
    let path = path
        .trim_start_matches(['.'])
        .strip_prefix(PRINTED)
        .unwrap();
    let names: Vec<&str> = path.trim_start_matches('.').split('.').collect();
    let (name, messages) = names.split_last().unwrap();
    let modules = messages.iter().map(|message| snake_case(message) + "::");
    modules.collect::<String>() + name
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
