//! Compiles the protocols without an installed `protoc`. The descriptors of the
//! administration are also embedded in the program, which serves them to foreign clients
//! by reflection.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use protox::Compiler;

#[path = "../src/cli/build.rs"]
mod version;

const ROOT: &str = "proto";
const ADMIN: &str = "snowflake/broker/admin/v1/admin.proto";
const FEDERATION: &str = "snowflake/broker/federation/v1/federation.proto";

fn main() -> Result<(), Box<dyn Error>> {
    version::main()?;
    println!("cargo:rerun-if-changed={ROOT}");
    let out = env::var("OUT_DIR")?;
    let descriptors = Path::new(&out).join("descriptors.bin");
    fs::write(descriptors, compile(&[ADMIN])?.encode_file_descriptor_set())?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    let descriptors = compile(&[ADMIN, FEDERATION])?.file_descriptor_set();
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    Ok(())
}

fn compile(files: &[&str]) -> Result<Compiler, protox::Error> {
    let mut compiler = Compiler::new([ROOT])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(files)?;
    Ok(compiler)
}
