//! The code generated from `proto/`, and the descriptors it was generated from.
//!
//! This file holds the only `include!` of the crate. The descriptor pool is the single source of the REST
//! routes and of the scope that each method needs; both are read from it at the start, never written twice.

mod codec;

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

/// The encoded `FileDescriptorSet` of every proto, with comments and extensions, as protox wrote it.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The descriptors of every message and service, `google.api.http` and `orqen.v1.access` options included.
pub static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTORS).expect("build.rs wrote a descriptor set that protox had checked")
});

pub use codec::{BoundedCodec, BoundedDecoder};
pub use orqen::v1;

/// `orqen`: our own packages. The nesting is the one that generated code refers to.
mod orqen {
    /// `orqen.v1`: our own API.
    #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/orqen.v1.rs"));
    }
}

/// `google.api`: `HttpBody`, the message that carries bytes as they are.
pub mod google {
    /// `google.api.HttpBody`.
    #[allow(missing_docs, unreachable_pub, clippy::all, rustdoc::all)]
    pub mod api {
        include!(concat!(env!("OUT_DIR"), "/google.api.rs"));
    }
}
