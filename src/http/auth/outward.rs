//! Asks services outside, of which the configuration has the addresses: within a deadline, a size, and no redirect.

use std::{sync::Arc, time::Duration};

use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use thiserror::Error;
use tokio::time::timeout;

/// Bytes of an answer. Key sets have some kilobytes.
const MAX_ANSWER: usize = 256 * 1024;
/// Connections that are kept for the next request, and how long.
const IDLE: (usize, Duration) = (8, Duration::from_secs(30));

/// A client for all services.
#[derive(Clone)]
pub(super) struct Outward {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    deadline: Duration,
}

/// Why there is no answer. Says nothing of what was asked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum Unanswered {
    #[error("it does not answer within {0:?}")]
    TooSlow(Duration),
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("its answer breaks off, or has more than {MAX_ANSWER} bytes")]
    Unreadable,
}

impl Outward {
    /// Waits for each answer for `deadline`. Trusts the certificates that the system trusts.
    pub(super) fn new(deadline: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        // ring has the versions that are asked for.
        let builder = builder.expect("TLS 1.2 and 1.3 are in ring's provider");
        // A machine without any roots still speaks http; over https it then trusts nobody.
        let config = match builder.clone().with_native_roots() {
            Ok(config) => config,
            Err(_) => builder.with_root_certificates(RootCertStore::empty()),
        };
        let tls = HttpsConnectorBuilder::new().with_tls_config(config.with_no_client_auth());
        let (idle, age) = IDLE;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(age)
            .pool_max_idle_per_host(idle)
            .build(tls.https_or_http().enable_http1().wrap_connector(tcp));
        Self { client, deadline }
    }

    /// The whole answer.
    pub(super) async fn ask(&self, request: Request<Empty<Bytes>>) -> Result<Response<Bytes>, Unanswered> {
        let answer = async {
            let response =
                self.client.request(request).await.map_err(|error| Unanswered::Unreachable(innermost(&error)))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|_| Unanswered::Unreadable)?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        timeout(self.deadline, answer).await.unwrap_or(Err(Unanswered::TooSlow(self.deadline)))
    }
}

/// The cause, such as "Connection refused".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
