//! Reading requests: body, query and path, each refused with a problem that says what is wrong.

use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bytes::Bytes;
use domain::entity::{Entity, Kind};
use domain::manifest::in_numbers;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::form_urlencoded;

use crate::filter;
use crate::problem::{Fault, Problem};

/// No request body may be larger.
pub(crate) const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;
/// The longest page of a list.
const PAGE_MAX: usize = 1_000;
const PAGE: usize = 100;

/// A body that is JSON.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = read(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// A body that is JSON, or nothing at all.
pub(crate) struct MaybeBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = read(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        parse(&bytes).map(Self)
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        let too_large =
            matches!(rejection, BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)));
        if too_large {
            let detail = format!("a body has at most {BODY_BYTES_MAX} bytes");
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail);
        }
        Problem::invalid(rejection.body_text())
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let line = Some(error.inner().line()).filter(|line| *line > 0);
        let message = in_numbers(&error.inner().to_string());
        let path = Some(error.path().to_string()).filter(|path| path != ".");
        let field = match (path, missing(&message)) {
            (Some(path), Some(field)) => Some(format!("{path}.{field}")),
            (None, Some(field)) => Some(field.to_owned()),
            (path, None) => path,
        };
        let detail = format!("the body does not fit: {message}");
        Problem::invalid(detail).with(vec![Fault { field, line, message, ..Fault::default() }])
    })?;
    reader
        .end()
        .map_err(|error| Problem::invalid(format!("the body is more than one JSON value: {error}")))?;
    Ok(value)
}

/// The field that is not there, by the words of the deserializer: its path ends at what should have it.
fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}

/// The query.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        params(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn params<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs)).map_err(|error| {
        let message = error.inner().to_string();
        let path = Some(error.path().to_string()).filter(|path| path != ".");
        match path.as_deref().or_else(|| of_whole(&message)) {
            Some(field) => Problem::invalid_field(field, &message),
            None => Problem::invalid(format!("the query does not fit: {message}")),
        }
    })
}

/// The parameter that is missing or there twice, by the words of the deserializer.
fn of_whole(message: &str) -> Option<&str> {
    missing(message).or_else(|| message.strip_prefix("duplicate field `")?.split('`').next())
}

/// The variable parts of the path.
pub(crate) struct Segments<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(segments)| Self(segments)).map_err(|rejection| Problem::invalid(rejection.body_text()))
    }
}

/// Which of a list, in CEL: the variable is the kind in lower-camel, its value an item of the list.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Cel {
    cel: Option<String>,
}

impl Cel {
    pub(crate) fn text(&self) -> Option<&str> {
        self.cel.as_deref().filter(|cel| !cel.trim().is_empty())
    }

    /// Those of the kind that it is true of; all where there is none.
    pub(crate) fn of(&self, kind: Kind, entities: Vec<Entity>) -> Result<Vec<Entity>, Problem> {
        match self.text() {
            None => Ok(entities),
            Some(cel) => filter::matching(kind, entities, cel),
        }
    }

    /// As [`Cel::of`], of what are no entities.
    pub(crate) fn of_values(&self, variable: &'static str, all: Vec<Value>) -> Result<Vec<Value>, Problem> {
        match self.text() {
            None => Ok(all),
            Some(cel) => filter::matching_values(variable, all, cel),
        }
    }
}

/// Which part of a list.
#[derive(Debug, Clone, Copy, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// At most so many, up to 1000; 100 where it is not said.
    limit: Option<usize>,
    /// How many to leave out first.
    offset: Option<usize>,
    /// All of so many.
    #[serde(skip)]
    #[param(ignore)]
    all: Option<usize>,
}

impl Page {
    pub(crate) fn new(limit: Option<usize>, offset: Option<usize>) -> Self {
        Self { limit, offset, all: None }
    }

    /// The whole list where no limit is given.
    pub(crate) fn or_all(self, count: usize) -> Self {
        Self { all: self.limit.is_none().then_some(count.max(1)), ..self }
    }

    pub(crate) fn limit(self) -> usize {
        self.all.unwrap_or_else(|| self.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX))
    }

    pub(crate) fn offset(self) -> usize {
        self.offset.unwrap_or(0)
    }

    /// The page of `all`, in the form every list has.
    pub(crate) fn of<T: serde::Serialize>(self, all: impl IntoIterator<Item = T>) -> serde_json::Value {
        let mut total = 0_usize;
        let range = self.offset()..self.offset().saturating_add(self.limit());
        let mut items = Vec::new();
        for item in all {
            if range.contains(&total) {
                items.push(item);
            }
            total += 1;
        }
        self.shown(items, total)
    }

    /// The page of `all`; only what is on it is made ready to show.
    pub(crate) fn show<T>(
        self,
        all: &[T],
        mut show: impl FnMut(&T) -> serde_json::Value,
    ) -> serde_json::Value {
        let part = all.iter().skip(self.offset()).take(self.limit());
        let items: Vec<_> = part.map(&mut show).collect();
        self.shown(items, all.len())
    }

    fn shown<T: serde::Serialize>(self, items: Vec<T>, total: usize) -> serde_json::Value {
        serde_json::json!({ "items": items, "total": total, "limit": self.limit(), "offset": self.offset() })
    }
}

/// What stands between the commas of a parameter; blanks and nothing are left out.
pub(crate) fn words(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Example {
        #[allow(dead_code, reason = "only read by the deserializer")]
        dry_run: bool,
    }

    #[test]
    fn a_wrong_body_says_where() {
        let problem = parse::<Example>(b"{\n\"dryRun\": 3}").unwrap_err();
        let json = serde_json::to_value(problem).unwrap();
        assert_eq!(
            (json["errors"][0]["field"].as_str(), json["errors"][0]["line"].as_u64()),
            (Some("dryRun"), Some(2))
        );
        let number = serde_json::to_value(parse::<u32>(b"-1").unwrap_err()).unwrap();
        assert!(number["detail"].to_string().contains("a whole number from 0 to 4294967295"), "{number}");
        let missing = serde_json::to_value(parse::<Example>(b"{}").unwrap_err()).unwrap();
        assert_eq!(missing["errors"][0]["field"], "dryRun");
        assert!(parse::<Example>(b"{\"dryRun\": true} {}").is_err());
        assert!(parse::<Example>(b"").is_err());
    }

    #[test]
    fn a_wrong_query_says_which_parameter() {
        for (query, field) in [("limit=many", "limit"), ("offset=-1", "offset"), ("limit=1&limit=2", "limit")]
        {
            let problem = serde_json::to_value(params::<Page>(query).unwrap_err()).unwrap();
            assert_eq!(problem["errors"][0]["field"], field, "{query}: {problem}");
        }
        let missing = serde_json::to_value(params::<Example>("").unwrap_err()).unwrap();
        assert_eq!(missing["errors"][0]["field"], "dryRun");
        assert_eq!(params::<Page>("limit=7&cel=x").unwrap().limit(), 7);
    }

    #[test]
    fn a_page_counts_everything_and_shows_its_part() {
        let page = Page::new(Some(2), Some(1));
        assert_eq!(
            page.of(["a", "b", "c", "d"]),
            serde_json::json!({"items": ["b", "c"], "total": 4, "limit": 2, "offset": 1})
        );
        assert_eq!(Page::new(Some(0), None).limit(), 1);
        assert_eq!(Page::new(Some(1_000_000), None).limit(), PAGE_MAX);
        assert_eq!(Page::new(None, Some(1)).or_all(5_000).limit(), 5_000);
        assert_eq!(Page::new(Some(7), None).or_all(5_000).limit(), 7);
    }
}
