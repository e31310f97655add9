//! Compiles `proto/` and leaves two things in `OUT_DIR`: the generated Rust code, and the descriptor set that
//! the server reads its HTTP rules and access options from. The set is the bytes of protox itself: one decode
//! through `prost_types` would drop every extension, and with them every route.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;

/// The files whose services and messages are ours.
const PROTOS: [&str; 13] = [
    "orqen/v1/access.proto",
    "orqen/v1/audit.proto",
    "orqen/v1/bounds.proto",
    "orqen/v1/header.proto",
    "orqen/v1/key.proto",
    "orqen/v1/key_service.proto",
    "orqen/v1/chat.proto",
    "orqen/v1/chat_service.proto",
    "orqen/v1/explain.proto",
    "orqen/v1/usage_service.proto",
    "orqen/v1/tool_service.proto",
    "orqen/v1/account_service.proto",
    "google/api/httpbody.proto",
];

#[expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts through the environment")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(PROTOS)?;
    let descriptors = compiler.encode_file_descriptor_set();
    fs::write(out.join("descriptors.bin"), &descriptors)?;

    // For the code alone a decoded copy is fine, less google/api, of which we only need HttpBody.
    let mut set = FileDescriptorSet::decode(descriptors.as_slice())?;
    set.file.retain(|file| {
        let name = file.name();
        !name.starts_with("google/api/") || name == "google/api/httpbody.proto"
    });
    let mut config = tonic_prost_build::Config::new();
    // By its name the codec finds a message's descriptor.
    config.enable_type_names();
    tonic_prost_build::configure()
        .build_client(true)
        .build_transport(false)
        .bytes(".google.api.HttpBody")
        .codec_path("crate::proto::BoundedCodec")
        .compile_well_known_types(false)
        .compile_fds_with_config(set, config)?;
    Ok(())
}
