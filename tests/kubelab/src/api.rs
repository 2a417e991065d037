//! The lab's API, as somebody who may do everything.

use crate::lab::{KubeLab, TOKEN};
use reqwest::{Certificate, Client, Method};
use serde_json::{Value, json};
use std::time::Duration;

const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
const SEEN_WITHIN: Duration = Duration::from_secs(60);

impl KubeLab {
    /// The HTTP status and body of a call; `APPLY` is a server-side apply, `MERGE` a merge patch.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn call(
        &self,
        verb: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), reqwest::Error> {
        let (method, kind) = match verb {
            "APPLY" => (Method::PATCH, "application/apply-patch+yaml"),
            "MERGE" => (Method::PATCH, "application/merge-patch+json"),
            "POST" => (Method::POST, "application/json"),
            "DELETE" => (Method::DELETE, "application/json"),
            _ => (Method::GET, "application/json"),
        };
        let roots = Certificate::from_pem_bundle(self.ca().as_bytes())?;
        let client = Client::builder().tls_certs_only(roots).timeout(ANSWERED_WITHIN).build()?;
        let request = client.request(method, format!("{}{path}", self.url())).bearer_auth(TOKEN);
        let request =
            request.header("content-type", kind).body(body.map(Value::to_string).unwrap_or_default());
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// The body of a call that succeeds.
    ///
    /// # Panics
    /// When it does not.
    pub async fn must(&self, verb: &str, path: &str, body: &Value) -> Value {
        match self.call(verb, path, Some(body)).await {
            Ok((200..300, answer)) => answer,
            other => panic!("{verb} {path}: {other:?}"),
        }
    }

    /// An object or list; null where there is none.
    pub async fn get(&self, path: &str) -> Value {
        match self.call("GET", path, None).await {
            Ok((200..300, answer)) => answer,
            Ok((404, _)) => Value::Null,
            other => panic!("GET {path}: {other:?}"),
        }
    }

    /// The pods of a Job, once there are so many that are not being deleted.
    pub async fn pods(&self, namespace: &str, job: &str, count: usize) -> Vec<String> {
        let path =
            format!("/api/v1/namespaces/{namespace}/pods?labelSelector=batch.kubernetes.io/job-name={job}");
        let names = |list: &Value| -> Vec<String> {
            let pods = list["items"].as_array().into_iter().flatten();
            let alive = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
            alive
                .filter(|pod| !matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")))
                .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
                .collect()
        };
        let seen = async {
            loop {
                let names = names(&self.get(&path).await);
                if names.len() == count {
                    return names;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(SEEN_WITHIN, seen)
            .await
            .unwrap_or_else(|_| panic!("{job} does not get {count} pods"))
    }

    /// Says of a pod what its kubelet would.
    pub async fn pod_says(&self, namespace: &str, pod: &str, status: &Value) {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/status");
        self.must("MERGE", &path, &json!({ "status": status })).await;
    }

    /// Lets a pod that is being deleted go, as its kubelet would.
    pub async fn pods_go(&self, namespace: &str, job: &str) {
        let path =
            format!("/api/v1/namespaces/{namespace}/pods?labelSelector=batch.kubernetes.io/job-name={job}");
        for pod in self.get(&path).await["items"].as_array().into_iter().flatten() {
            if !pod["metadata"]["deletionTimestamp"].is_null() {
                let path = format!(
                    "/api/v1/namespaces/{namespace}/pods/{}",
                    pod["metadata"]["name"].as_str().unwrap_or_default()
                );
                let now = json!({ "gracePeriodSeconds": 0 });
                self.call("DELETE", &path, Some(&now)).await.expect("the server answers");
            }
        }
    }
}
