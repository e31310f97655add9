//! What is compared: all of it in front of one mock, on one core.

use std::{net::SocketAddr, path::Path};

use crate::{
    nginx,
    orqen::{self, Governance},
    procs::{self, Core, Running},
};

/// The place of the plain proxy among the candidates, which the others are held against.
pub(crate) const PROXY: usize = 0;
/// That of nginx.
pub(crate) const NGINX: usize = 1;
/// That of Orqen without governance.
pub(crate) const OFF: usize = 2;
/// That of Orqen with it.
pub(crate) const ON: usize = 3;
/// That of Orqen with it that keeps sums and no records: it takes part in the closed loops only.
pub(crate) const SUMS: usize = 4;

/// Something between the load and the mock.
pub(crate) struct Candidate {
    /// As the table names it.
    pub(crate) name: &'static str,
    /// Where it listens, unless it could not be had.
    pub(crate) address: Option<SocketAddr>,
    /// The secret that it wants, if it is Orqen.
    pub(crate) key: Option<String>,
    /// How much of it is used.
    pub(crate) governance: Governance,
    process: Option<Running>,
}

impl Candidate {
    /// Starts all of them, in the order of the constants above; of Orqen the binary that is given, or this bench's own.
    pub(crate) async fn all(folder: &Path, mock: SocketAddr, orqen: Option<&Path>) -> Vec<Self> {
        let program = orqen::Program::new(orqen);
        let proxy = procs::role(Core::Measured, &["proxy", &mock.to_string()]);
        let nginx = nginx::start(folder, mock).await;
        let mut all = vec![Self::plain("plain proxy", Some(proxy)), Self::plain("nginx", nginx)];
        let variants = [
            ("orqen off", Governance::Off),
            ("orqen on", Governance::On),
            ("orqen on, sums only", Governance::Sums),
        ];
        for (name, governance) in variants {
            let (process, address, key) = program.start(folder, mock, governance).await;
            all.push(Self { key: Some(key), governance, ..Self::plain(name, Some((process, address))) });
        }
        all
    }

    fn plain(name: &'static str, started: Option<(Running, SocketAddr)>) -> Self {
        let (process, address) = started.unzip();
        Self { name, address, key: None, governance: Governance::Off, process }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().map_or(0, Running::id)
    }
}
