//! What a user may ask of the API, and nothing else.

use domain::job::JobStatus;
use serde_json::{Value, json};

/// A user with a key.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
}

impl Client {
    /// A user of the API at that address.
    pub fn new(base: String, key: String) -> Self {
        Self { http: reqwest::Client::new(), base, key }
    }

    /// Where the API is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// GET: the status and the JSON.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Result<(u16, Value), String> {
        self.send(self.http.get(self.url(path))).await
    }

    /// POST with JSON.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(u16, Value), String> {
        self.send(self.http.post(self.url(path)).json(body)).await
    }

    /// PUT with JSON.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn put(&self, path: &str, body: &Value) -> Result<(u16, Value), String> {
        self.send(self.http.put(self.url(path)).json(body)).await
    }

    /// PATCH with JSON.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<(u16, Value), String> {
        self.send(self.http.patch(self.url(path)).json(body)).await
    }

    /// DELETE.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn delete(&self, path: &str) -> Result<(u16, Value), String> {
        self.send(self.http.delete(self.url(path))).await
    }

    /// Applies manifests; panics with the problem when they are refused.
    ///
    /// # Panics
    /// When they are refused.
    pub async fn apply(&self, manifests: &str) -> Value {
        let body = json!({ "files": [{ "name": "test.yaml", "content": manifests }], "workspace": "acme" });
        let (status, answer) = self.post("/api/v1/apply", &body).await.expect("the api answers");
        assert_eq!(status, 200, "{answer:#}");
        answer
    }

    /// All jobs of the workspace, newest first.
    ///
    /// # Errors
    /// When there is no answer, or none that says so.
    pub async fn jobs(&self) -> Result<Vec<Value>, String> {
        self.jobs_where("").await
    }

    /// The jobs of the workspace that a query (`&resource=eu&version=web:v1`) asks for, newest first.
    ///
    /// # Errors
    /// When there is no answer, or none that says so.
    pub async fn jobs_where(&self, query: &str) -> Result<Vec<Value>, String> {
        let mut jobs = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/workspaces/acme/jobs?brief=true&limit=200{query}{cursor}");
            let (status, mut answer) = self.get(&path).await?;
            let Some(Value::Array(items)) =
                answer.get_mut("items").map(Value::take).filter(|_| status == 200)
            else {
                return Err(format!("{status}: {answer}"));
            };
            jobs.extend(items.into_iter().map(|mut item| as_told(item["job"].take())));
            match answer["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(jobs),
            }
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<(u16, Value), String> {
        let answer =
            request.header("x-api-key", &self.key).send().await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }
}

/// The job with its status as everything but the API spells it.
fn as_told(mut job: Value) -> Value {
    if let Some(status) = job["status"].as_str().and_then(JobStatus::parse) {
        job["status"] = Value::from(status.as_str());
    }
    job
}
