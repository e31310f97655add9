//! Texts turned into vectors by an upstream that serves OpenAI's `POST /embeddings`.
//!
//! One call and one answer, checked as a whole: as many vectors as texts, of one length, of numbers, none of them
//! nothing. They come out with length one, so that a product is a cosine. A call is made once: whoever waits for it
//! cannot wait for a second, and asks again with the next request.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    endpoint::{Endpoint, Kind, Upstream},
    headers,
};

/// How long a call may take. Whoever asked has gone on long before; what comes within this is for the next.
const LONGEST_CALL: Duration = Duration::from_secs(10);
/// The most numbers of a vector; the largest models have half of it.
const DIMENSIONS_MAX: usize = 8192;
/// The most bytes that one number takes in an answer, its comma included, and what else stands there at most.
const NUMBER_MAX: usize = 32;
const REST_MAX: usize = 64 * 1024;

/// A vector of length one.
pub type Embedding = Arc<[f32]>;

/// A model that turns texts into vectors, at an upstream.
#[derive(Debug, Clone)]
pub struct EmbeddingModel {
    upstream: Arc<Upstream>,
    model: Arc<str>,
    dimensions: Option<usize>,
}

/// Why there are no vectors. Holds nothing that the upstream wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmbeddingProblem {
    /// There is no answer.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// There is no answer in time.
    #[error("no answer within {0:?}")]
    TooSlow(Duration),
    /// An answer with another status than 200.
    #[error("status {0}")]
    Status(u16),
    /// The answer is too large, broken off, or not what was asked for.
    #[error("its answer {0}")]
    Malformed(&'static str),
}

impl EmbeddingModel {
    /// The model of this name at `upstream`; with `dimensions`, vectors of so many numbers are asked for.
    pub fn new(upstream: Arc<Upstream>, model: &str, dimensions: Option<usize>) -> Self {
        Self { upstream, model: model.into(), dimensions }
    }

    /// The name of its upstream.
    pub fn upstream(&self) -> &str {
        self.upstream.name()
    }

    /// The vectors of `texts`, in their order. Takes at most ten seconds.
    ///
    /// # Errors
    /// There is no answer, or it is not one vector for each text.
    pub async fn embed(&self, texts: &[String]) -> Result<Vec<Embedding>, EmbeddingProblem> {
        let Kind::Http(endpoint) = &self.upstream.kind else {
            return Err(EmbeddingProblem::Unreachable("the demo has no embeddings".to_owned()));
        };
        let body = self.body(texts);
        let call = timeout(LONGEST_CALL, call(endpoint, body, largest(texts.len())));
        let answer = call.await.map_err(|_| EmbeddingProblem::TooSlow(LONGEST_CALL))??;
        read(&answer, texts.len(), self.dimensions).map_err(EmbeddingProblem::Malformed)
    }

    fn body(&self, texts: &[String]) -> Bytes {
        // `float` is the default, but some servers only say so, and `base64` is not known to all.
        let wanted = Wanted {
            model: &self.model,
            input: texts,
            encoding_format: "float",
            dimensions: self.dimensions,
        };
        serde_json::to_vec(&wanted).unwrap_or_default().into()
    }
}

#[derive(Serialize)]
struct Wanted<'a> {
    model: &'a str,
    input: &'a [String],
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
}

/// The largest answer that is read, for so many texts.
fn largest(texts: usize) -> usize {
    REST_MAX + texts * (DIMENSIONS_MAX * NUMBER_MAX)
}

async fn call(endpoint: &Endpoint, body: Bytes, largest: usize) -> Result<Bytes, EmbeddingProblem> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.embeddings.clone();
    *request.headers_mut() = headers::embedding(endpoint);
    let response = endpoint.transport.call(request).await;
    let response = response.map_err(|broken| EmbeddingProblem::Unreachable(format!("{broken:?}")))?;
    if response.status() != StatusCode::OK {
        return Err(EmbeddingProblem::Status(response.status().as_u16()));
    }
    let body = Limited::new(response.into_body(), largest).collect().await;
    Ok(body.map_err(|_| EmbeddingProblem::Malformed("broke off or is too large"))?.to_bytes())
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    /// Left out by some servers, which answer in order.
    #[serde(default)]
    index: Option<usize>,
    embedding: Vec<f32>,
}

/// The vectors of an answer to a request with so many texts.
fn read(answer: &[u8], texts: usize, dimensions: Option<usize>) -> Result<Vec<Embedding>, &'static str> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| "is no list of embeddings")?;
    if answer.data.len() != texts {
        return Err("has not one vector for each text");
    }
    let mut vectors: Vec<Option<Embedding>> = vec![None; texts];
    for (place, entry) in answer.data.into_iter().enumerate() {
        let slot =
            vectors.get_mut(entry.index.unwrap_or(place)).ok_or("has an index that was not asked for")?;
        if slot.replace(unit(entry.embedding)?).is_some() {
            return Err("has two vectors for one text");
        }
    }
    let vectors: Vec<Embedding> = vectors.into_iter().flatten().collect();
    let length = dimensions.or(vectors.first().map(|vector| vector.len())).unwrap_or_default();
    if vectors.iter().any(|vector| vector.len() != length) {
        return Err("has vectors of another length than was asked for, or of several");
    }
    Ok(vectors)
}

/// The vector brought to length one.
fn unit(mut vector: Vec<f32>) -> Result<Embedding, &'static str> {
    if vector.is_empty() || vector.len() > DIMENSIONS_MAX {
        return Err("has a vector of no or too many numbers");
    }
    // In f64, where no squares of f32 overflow. JSON has no NaN, but a number that is too large is read as infinite.
    let norm = vector.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt();
    if !norm.is_finite() || norm < 1e-12 {
        return Err("has a vector that points nowhere");
    }
    vector.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
    Ok(vector.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(answer: &str, texts: usize) -> Result<Vec<Embedding>, &'static str> {
        read(answer.as_bytes(), texts, None)
    }

    #[test]
    fn vectors_come_in_the_order_of_the_texts_and_with_length_one() {
        let answer = r#"{"object":"list","data":[{"object":"embedding","index":1,"embedding":[0,2]},
            {"index":0,"embedding":[3,4.0]}],"model":"m","usage":{"prompt_tokens":1}}"#;
        let read = vectors(answer, 2).unwrap();
        assert_eq!((&*read[0], &*read[1]), (&[0.6, 0.8][..], &[0.0, 1.0][..]));
        let in_order = r#"{"data":[{"embedding":[1,0]},{"embedding":[0,1]}]}"#;
        assert_eq!(&*vectors(in_order, 2).unwrap()[1], &[0.0, 1.0]);
    }

    #[test]
    fn what_is_not_one_vector_for_each_text_is_no_answer_at_all() {
        for (answer, texts) in [
            ("", 1),
            ("{}", 1),
            ("<html>", 1),
            (r#"{"data":[]}"#, 1),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#, 2),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":2,"embedding":[1]}]}"#, 2),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1,2]}]}"#, 2),
            (r#"{"data":[{"index":0,"embedding":[1]}]}"#, 2),
            (r#"{"data":[{"index":0,"embedding":[]}]}"#, 1),
            (r#"{"data":[{"index":0,"embedding":[0.0,0.0]}]}"#, 1),
            (r#"{"data":[{"index":0,"embedding":[1e39,0.0]}]}"#, 1),
            (r#"{"data":[{"index":0,"embedding":[null,1]}]}"#, 1),
            (r#"{"data":[{"index":0,"embedding":[NaN,1]}]}"#, 1),
            (r#"{"data":[{"index":0,"embedding":"AACAPw=="}]}"#, 1),
            (r#"{"data":[{"index":-1,"embedding":[1]}]}"#, 1),
        ] {
            assert!(vectors(answer, texts).is_err(), "{answer}");
        }
        let two = r#"{"data":[{"index":0,"embedding":[1,0]}]}"#;
        assert!(read(two.as_bytes(), 1, Some(3)).is_err() && read(two.as_bytes(), 1, Some(2)).is_ok());
    }
}
