//! A real server in this process: `App`, on a free port of the loopback, with a store of its own.
//!
//! What the harness needs is set as an environment would (`ORQEN_…`), and what a test needs as `orqen.toml` would, so
//! that neither gets in the way of the other.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use chrono::{DateTime, Utc};
use orqen::{
    app::App,
    clock::{ManualClock, SharedClock, SystemClock},
    config::{Config, Environment},
    store::Store,
};
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::task::TaskTracker;

use crate::support::{
    actors::{Agent, Anonymous, Operator},
    issuer::{AUDIENCE, ISSUER, Issuer},
    stores::Place,
};

/// What a server is started with.
#[derive(Clone)]
pub(crate) struct Settings {
    place: Place,
    toml: String,
    variables: BTreeMap<String, String>,
    clock: SharedClock,
}

/// A server that runs.
pub(crate) struct TestServer {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    first_key: Option<String>,
    issuer: Arc<Issuer>,
    settings: Settings,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Settings {
    /// The defaults, at this place.
    pub(crate) fn at(place: &Place) -> Self {
        let mut settings = Self {
            place: place.clone(),
            toml: String::new(),
            variables: BTreeMap::new(),
            clock: Arc::new(SystemClock),
        }
        .variable("ORQEN_SERVER__LISTEN", "127.0.0.1:0")
        .variable("ORQEN_SERVER__DRAIN_DELAY", "0s")
        // Tests are busier than people; those of limits set their own.
        .variable("ORQEN_POLICY__REQUESTS_PER_MINUTE", "unlimited")
        .variable("ORQEN_LIMITS__ACCOUNT_REQUESTS_PER_MINUTE", "unlimited")
        .variable("ORQEN_LIMITS__FAILED_AUTH_PER_MINUTE", "unlimited")
        .variable("ORQEN_STORE__URL", place.url())
        .variable("ORQEN_STORE__POLL_EVERY", "10ms")
        .variable("ORQEN_STORE__MAX_CONNECTIONS", "4");
        if let Some(pepper) = place.pepper() {
            settings = settings.variable("ORQEN_AUTH__PEPPERS", &format!("[\"{pepper}\"]"));
        }
        if let Some(key) = place.signing_key() {
            settings = settings.variable("ORQEN_AUTH__SIGNING_KEYS", &format!("[\"{key}\"]"));
        }
        settings
    }

    /// With the limits that a user starts with.
    pub(crate) fn with_delivered_limits(self) -> Self {
        [
            "POLICY__REQUESTS_PER_MINUTE",
            "LIMITS__ACCOUNT_REQUESTS_PER_MINUTE",
            "LIMITS__FAILED_AUTH_PER_MINUTE",
        ]
        .iter()
        .fold(self, |settings, name| settings.variable(&format!("ORQEN_{name}"), ""))
    }

    /// Text of `orqen.toml`, after what was given before.
    pub(crate) fn toml(mut self, text: &str) -> Self {
        self.toml.push_str(text);
        self.toml.push('\n');
        self
    }

    /// A variable of the environment. An empty one counts as unset.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// An upstream at this base URL, for these models, without a credential.
    pub(crate) fn upstream(self, name: &str, base_url: &str, models: &[&str]) -> Self {
        self.toml(&format!("[[upstreams]]\nname = {name:?}\nbase_url = {base_url:?}\nmodels = {models:?}"))
    }

    /// A clock that stands until it is told otherwise.
    pub(crate) fn clock(self, clock: &Arc<ManualClock>) -> Self {
        self.shared_clock(Arc::clone(clock) as SharedClock)
    }

    /// A clock that does as it likes.
    pub(crate) fn shared_clock(self, clock: SharedClock) -> Self {
        Self { clock, ..self }
    }

    /// The environment that these settings are.
    pub(crate) fn environment(&self) -> Environment {
        self.variables.clone().into_iter().collect()
    }

    /// The configuration that these settings are.
    pub(crate) fn config(&self) -> Config {
        Config::from_toml(&self.toml, &self.environment()).unwrap().config
    }

    /// Starts the server and says why it refuses to, as the binary would print it.
    pub(crate) async fn refusal(&self) -> String {
        let config = match Config::from_toml(&self.toml, &self.environment()) {
            Ok(loaded) => loaded.config,
            Err(error) => return error.to_string(),
        };
        let started = App::start(config, &self.environment(), Arc::clone(&self.clock)).await;
        let error = started.err().expect("the start is refused");
        format!("{error:#}")
    }
}

impl TestServer {
    /// A server with the defaults, on a new SQLite file.
    pub(crate) async fn new() -> Self {
        Self::start(Settings::at(&Place::sqlite())).await
    }

    /// A server with these settings, which takes the JWTs of a new issuer.
    pub(crate) async fn start(settings: Settings) -> Self {
        Self::start_with(settings, Arc::new(Issuer::new())).await
    }

    /// A server with these settings, which takes the JWTs of this issuer.
    pub(crate) async fn start_with(settings: Settings, issuer: Arc<Issuer>) -> Self {
        // Chosen once for the process, as `main` does; later calls find it chosen.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let pem = settings.place.folder().join("issuer.pem");
        issuer.write_pem(&pem);
        let effective = settings
            .clone()
            .variable("ORQEN_AUTH__JWT__ISSUER", ISSUER)
            .variable("ORQEN_AUTH__JWT__AUDIENCE", AUDIENCE)
            .variable("ORQEN_AUTH__JWT__ALGORITHMS", "[\"EdDSA\"]")
            .variable("ORQEN_AUTH__JWT__PUBLIC_KEY_FILE", pem.to_str().unwrap());
        Self::start_as_configured(effective, settings, issuer).await
    }

    /// A server with `effective` as it is, the issuer's keys included.
    pub(crate) async fn start_as_configured(
        effective: Settings,
        settings: Settings,
        issuer: Arc<Issuer>,
    ) -> Self {
        let clock = Arc::clone(&settings.clock);
        // Boxed: a start is a large future, and every test awaits one.
        let environment = effective.environment();
        let started = Box::pin(App::start(effective.config(), &environment, clock)).await;
        let mut app = started.unwrap();
        let first_key = app.take_first_key().map(|key| key.secret.expose().to_owned());
        let (stop, stopped) = oneshot::channel();
        let (address, admin_address) = (app.address(), app.admin_address());
        // The server holds its place until it is gone: whoever asked it to stop has let go of theirs by then.
        let place = settings.place.clone();
        let running = TaskTracker::new().spawn(async move {
            let ended = app.run_until(async {
                // Dropped without a word, as by a test that failed, it stops as well.
                let _ = stopped.await;
            });
            let ended = ended.await;
            drop(place);
            ended
        });
        Self { address, admin_address, first_key, issuer, settings, stop, running }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The time that the server goes by.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.settings.clock.now()
    }

    /// The secret that this start made, if it was the first on its store.
    pub(crate) fn first_key(&self) -> Option<&str> {
        self.first_key.as_deref()
    }

    /// Whoever holds the first key and a JWT of the issuer.
    pub(crate) fn operator(&self) -> Operator {
        let key = self.first_key().expect("the first start on this store");
        Operator::new(self.address, key, &self.issuer.operator(self.now()))
    }

    /// Whoever holds this key.
    pub(crate) fn agent(&self, secret: &str) -> Agent {
        Agent::new(self.address, secret)
    }

    /// Whoever holds nothing.
    pub(crate) fn anonymous(&self) -> Anonymous {
        Anonymous::new(self.address)
    }

    /// The same store, as another process would open it.
    pub(crate) async fn other_process(&self) -> Store {
        Store::connect(&self.settings.config().store, Arc::clone(&self.settings.clock)).await.unwrap()
    }

    /// Asks the server to stop; it goes on until what runs has finished.
    pub(crate) fn ask_to_stop(self) -> JoinHandle<anyhow::Result<()>> {
        let _ = self.stop.send(());
        self.running
    }

    /// Stops the server and waits until it is gone.
    pub(crate) async fn stop(self) {
        self.ask_to_stop().await.unwrap().unwrap();
    }

    /// Stops the server and starts it again on the same store, with the same settings.
    pub(crate) async fn restart(self) -> Self {
        let (settings, issuer) = (self.settings.clone(), Arc::clone(&self.issuer));
        self.stop().await;
        Self::start_with(settings, issuer).await
    }
}
