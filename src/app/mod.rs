//! Builds everything from the configuration, once, in order, and stops it in reverse.
//!
//! The order of a stop matters: first the port (what runs may finish), then the tasks that follow changes, last the
//! writer of usage, which drains what the last requests left. So a clean stop loses nothing.

mod bookkeeping;
mod check;
mod cors;
mod figures;
mod first_start;
mod front;
mod grpc;
mod health;
mod kept;
mod linger;
mod logged;
mod machine;
mod timely;

use std::{
    future::Future,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use tokio::sync::Semaphore;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use crate::{
    auth::{self, Authenticator, JwtVerifier},
    chat::{
        ChatPipeline, Withheld,
        embed::{self, Embedder},
    },
    clock::SharedClock,
    config::{Config, Environment, SavedTokensExceeded},
    domain::chat_request::{Bounds, ToolArrays},
    limits::{FailedAuth, Load, LoadBounds},
    proto,
    prune::{self, Pruner},
    rest::{self, Transcoder},
    server::Server,
    service::{self, Auditor, Backend, Guard, Services},
    store::Store,
    telemetry::Metrics,
    tokens::Tokenizer,
    upstream::{Catalog, EmbeddingModel, UpstreamClient},
};

pub use self::{
    check::{Checked, check},
    first_start::{FirstKey, open_peppers, open_store, open_tokens},
};
use self::{figures::Figures, front::Front, grpc::Grpc, health::Health};

/// How many addresses whose credentials were not known are remembered.
const SOURCES: usize = 100_000;

/// A built gateway whose ports are bound.
pub struct App {
    config: Config,
    front: Arc<Front>,
    server: Server,
    admin: Option<Server>,
    health: Arc<Health>,
    authenticator: Arc<Authenticator>,
    store: Store,
    clock: SharedClock,
    first_key: Option<FirstKey>,
    tasks: TaskTracker,
    stop_following: CancellationToken,
    stop_writing: CancellationToken,
}

impl App {
    /// Opens the store, makes the first key where there is none, and binds the ports.
    pub async fn start(
        config: Config,
        environment: &Environment,
        clock: SharedClock,
    ) -> anyhow::Result<Self> {
        // What can be wrong in the configuration is found before anything is made.
        let catalog = Catalog::new(&config.upstreams, &config.demo, &|name| environment.get(name))?;
        let jwt = config.auth.jwt.as_ref().map(JwtVerifier::load).transpose()?;
        let server = Server::bind(config.server.listen, &config.server).await?;
        let admin = match config.server.admin_listen {
            Some(address) => Some(Server::bind(address, &config.server).await?),
            None => None,
        };
        let store = open_store(&config, Arc::clone(&clock)).await?;
        let peppers = open_peppers(&config, &store).await?;
        let tokens = open_tokens(&config, &store)?;
        let first_key = first_start::first_key(&config, &store, &peppers).await?;

        let tasks = TaskTracker::new();
        let stop_following = CancellationToken::new();
        let embedder = embedder(&config, &catalog, &tasks, &stop_following);
        let stop_writing = CancellationToken::new();
        let limiter = bookkeeping::limiter(&config, (&store, &clock), (&tasks, stop_writing.clone())).await?;
        let tokenizer = Arc::new(Tokenizer::new());
        let metrics = Arc::new(Metrics::new());
        let (spans, lost_spans) = bookkeeping::spans(&config, &tasks)?;
        let on_counted = bookkeeping::on_counted(&limiter, &metrics, spans);
        let counted = (&tokenizer, on_counted);
        let recorder =
            bookkeeping::recorder(&config.usage, (&store, &clock), counted, (&tasks, stop_writing.clone()));
        let used = recorder.clone();
        let authenticator = Arc::new(Authenticator::new(
            auth::Parts {
                store: store.clone(),
                peppers: peppers.clone(),
                tokens,
                jwt,
                clock: Arc::clone(&clock),
                on_used: Box::new(move |secret, at| used.used(secret, at)),
                failures: config
                    .limits
                    .failed_auth_per_minute
                    .map(|failures| FailedAuth::new(failures, SOURCES)),
            },
            &config.auth,
            &config.store,
        ));
        let chat = Arc::new(ChatPipeline {
            client: UpstreamClient::new(Arc::clone(&clock)),
            pruner: Arc::new(Pruner::new(prune::Settings::new(&config.pruning, config.limits.json_depth))),
            prune_mode: config.pruning.enabled.then_some(config.pruning.mode),
            embedder,
            limiter,
            refuses_spent: config.limits.saved_tokens_exceeded == SavedTokensExceeded::Reject,
            tokenizer,
            withheld: Withheld::default(),
            recorder,
            told: service::chat_status,
            clock: Arc::clone(&clock),
            bounds: Bounds { depth: config.limits.json_depth },
            arrays: ToolArrays::new(
                config.pruning.cache_bytes as u64 / 2,
                rand::Rng::next_u64(&mut rand::rng()),
            ),
            counting: Arc::new(Semaphore::new(1)),
            catalog,
        });
        let auditor = Auditor::new(store.clone(), Arc::clone(&clock));
        let services = Services::new(service::Parts {
            store: store.clone(),
            peppers,
            auditor: Arc::clone(&auditor),
            authenticator: Arc::clone(&authenticator),
            chat: Arc::clone(&chat),
            clock: Arc::clone(&clock),
            policy: config.policy.values(),
            limits: config.limits.clone(),
        });
        let guard = Arc::new(Guard::new(
            &proto::POOL,
            Arc::clone(&authenticator),
            config.limits.account_requests_per_minute,
            (chat.arrivals(), auditor),
            Arc::clone(&clock),
        )?);
        let figures = Figures {
            metrics,
            authenticator: Arc::clone(&authenticator),
            chat,
            guard: Arc::clone(&guard),
            load: Load::new(LoadBounds {
                requests: config.limits.concurrent_requests,
                body_bytes: config.limits.body_memory,
            }),
            lost_spans,
            started_at: clock.now(),
        };
        let health = Arc::new(Health::new(Arc::clone(&authenticator), &config.store));
        let transcoder = Transcoder::new(
            &proto::POOL,
            rest_options(&config),
            Backend::new(Arc::clone(&guard), services.clone()),
        )?;
        let grpc = Grpc::new(guard, services.routes, &health, config.limits.body_timeout)?;
        let parts = (Arc::clone(&health), figures);
        let front = Arc::new(Front::new(transcoder, grpc, parts, Arc::clone(&clock), &config.server)?);
        Ok(Self {
            front,
            server,
            admin,
            health,
            authenticator,
            store,
            clock,
            first_key,
            tasks,
            stop_following,
            stop_writing,
            config,
        })
    }

    /// The address of the main port.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The URL of the main port as a client on this machine would write it.
    pub fn base_url(&self) -> String {
        let mut address = self.address();
        if address.ip().is_unspecified() {
            // An address that one listens on, not one that one calls.
            address.set_ip(if address.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                Ipv6Addr::LOCALHOST.into()
            });
        }
        let scheme = if self.config.server.tls_cert.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }

    /// The address of the port for operators, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Server::address)
    }

    /// The key that the first start on an empty store made. Its secret can be had here once, and nowhere else.
    pub fn take_first_key(&mut self) -> Option<FirstKey> {
        self.first_key.take()
    }

    /// Serves until `stop` is ready, then stops what was started, in reverse.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let config = &self.config.server;
        let (authenticator, every) = (Arc::clone(&self.authenticator), self.config.store.poll_every);
        let following = self.stop_following.clone();
        let seed = rand::Rng::next_u64(&mut rand::rng());
        self.tasks.spawn(async move {
            following.run_until_cancelled(authenticator.follow_changes(every, seed)).await;
        });

        let (following, authenticator) = (self.stop_following.clone(), Arc::clone(&self.authenticator));
        let seed = rand::Rng::next_u64(&mut rand::rng());
        self.tasks.spawn(async move {
            following.run_until_cancelled(authenticator.follow_issuer(seed)).await;
        });

        let (following, clock) = (self.stop_following.clone(), Arc::clone(&self.clock));
        let forgetting = bookkeeping::forget(self.store.clone(), clock, self.config.usage.clone());
        self.tasks.spawn(async move { following.run_until_cancelled(forgetting).await });

        let closing = CancellationToken::new();
        let (front, closed) = (&self.front, || closing.clone().cancelled_owned());
        let main = self.server.serve(Arc::clone(front).handler(), closed(), config.drain_deadline);
        let main = on_a_worker(&self.tasks, main);
        let admin = self.admin.map(|server| {
            let handler = Arc::clone(front).admin_handler();
            on_a_worker(&self.tasks, server.serve(handler, closed(), Duration::from_secs(1)))
        });
        let admin = async {
            match admin {
                Some(serving) => serving.await,
                None => Ok(()),
            }
        };
        let stopping = async {
            self.health.ready().await;
            stop.await;
            self.health.draining().await;
            tokio::time::sleep(config.drain_delay).await;
            closing.cancel();
            Ok(())
        };
        let served = tokio::try_join!(main, admin, stopping);

        self.stop_following.cancel();
        self.stop_writing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.store.close().await;
        served.context("a port is not served any more")?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Where the connections of a port are made and served. A thread's memory is best given back by itself: what the thread that
/// started all made for a thousand connections would lie idle until it made as many again.
fn on_a_worker(
    tasks: &TaskTracker,
    serving: impl Future<Output = ()> + Send + 'static,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tasks.spawn(serving))
}

/// Who asks for embeddings, if they are configured; the configuration has made sure of the upstream.
fn embedder(
    config: &Config,
    catalog: &Catalog,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Option<Embedder> {
    let wanted = config.pruning.embeddings.as_ref()?;
    let upstream = catalog.upstream(&wanted.upstream)?;
    let model = EmbeddingModel::new(Arc::clone(upstream), &wanted.model, wanted.dimensions);
    let settings = embed::Settings {
        timeout: wanted.timeout,
        cache_bytes: wanted.cache_bytes as u64,
        seed: rand::Rng::next_u64(&mut rand::rng()),
    };
    Some(Embedder::new(model, settings, tasks.clone(), stop.clone()))
}

fn rest_options(config: &Config) -> rest::Options {
    rest::Options {
        names: service::route_names(),
        chat_body: config.limits.chat_body,
        account_body: config.limits.account_body,
        json_depth: config.limits.json_depth,
        body_timeout: config.limits.body_timeout,
    }
}
