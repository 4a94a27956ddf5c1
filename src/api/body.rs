//! Request bodies: JSON, read once, with an error that says what to do when it is none; and CSV,
//! read as it comes in.

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{FromRequest, HttpRequest, ResponseError as _, web};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value};

use super::error::ApiError;

/// Largest body of an API request.
pub(crate) const API_BYTES: usize = 1024 * 1024;

/// A body that is a JSON object.
#[derive(Debug)]
pub(crate) struct JsonObject {
    pub(crate) object: Map<String, Value>,
}

impl FromRequest for JsonObject {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let unsupported = refuse_content_type(request);
        let bytes = Bytes::from_request(request, payload);
        Box::pin(async move {
            if let Some(refusal) = unsupported {
                return Err(refusal);
            }
            let bytes = bytes.await.map_err(unreadable)?;
            Ok(JsonObject { object: parse(&bytes)? })
        })
    }
}

/// Largest CSV file.
pub(crate) const CSV_BYTES: usize = 32 * 1024 * 1024;

/// A body that is a JSON object, or a CSV file.
pub(crate) enum JsonOrCsv {
    Json(Map<String, Value>),
    Csv(CsvBody),
}

impl FromRequest for JsonOrCsv {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let essence = content_type(request).unwrap_or_default();
        if essence == "text/csv" {
            let csv = CsvBody::new(request, payload.take());
            return Box::pin(async move { csv.map(JsonOrCsv::Csv) });
        }
        let json = JsonObject::from_request(request, payload);
        Box::pin(async move {
            match json.await {
                Ok(JsonObject { object }) => Ok(JsonOrCsv::Json(object)),
                Err(error) if error.status_code() == StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                    let types = "application/json or text/csv";
                    Err(unsupported(types))
                }
                Err(error) => Err(error),
            }
        })
    }
}

/// A CSV file that is coming in.
pub(crate) struct CsvBody {
    payload: Payload,
    read_bytes: usize,
}

impl CsvBody {
    /// Refuses a file whose length is said and too great before anything of it is read.
    fn new(request: &HttpRequest, payload: Payload) -> Result<Self, ApiError> {
        let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        match length.and_then(|length| length.parse::<u64>().ok()) {
            Some(bytes) if usize::try_from(bytes).is_ok_and(|bytes| bytes <= CSV_BYTES) => {}
            Some(_) => return Err(csv_too_large()),
            None => {}
        }
        Ok(CsvBody { payload, read_bytes: 0 })
    }

    /// The next part; nothing when the file is over.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let Some(chunk) = self.payload.next().await else { return Ok(None) };
        let chunk = chunk.map_err(|error| unreadable(error.into()))?;
        self.read_bytes += chunk.len();
        match self.read_bytes <= CSV_BYTES {
            true => Ok(Some(chunk)),
            false => Err(csv_too_large()),
        }
    }
}

fn csv_too_large() -> ApiError {
    let message = format!("A CSV file must have at most {CSV_BYTES} bytes; send it in parts");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
}

/// A body that is a JSON object, or nothing or null, which is one without fields.
#[derive(Debug)]
pub(crate) struct MaybeJsonObject {
    pub(crate) object: Map<String, Value>,
}

impl FromRequest for MaybeJsonObject {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let unsupported = refuse_content_type(request);
        let bytes = Bytes::from_request(request, payload);
        Box::pin(async move {
            let bytes = bytes.await.map_err(unreadable)?;
            match (bytes.trim_ascii(), unsupported) {
                (b"", _) | (b"null", None) => Ok(MaybeJsonObject { object: Map::new() }),
                (given, None) => Ok(MaybeJsonObject { object: parse(given)? }),
                (_, Some(refusal)) => Err(refusal),
            }
        })
    }
}

/// The limit bodies are read with.
pub(crate) fn payload_limit() -> web::PayloadConfig {
    web::PayloadConfig::new(API_BYTES)
}

/// A client that names no type means JSON.
fn refuse_content_type(request: &HttpRequest) -> Option<ApiError> {
    let essence = content_type(request)?;
    (!is_json(&essence)).then(|| unsupported("application/json"))
}

/// What a body is said to be, in small letters and without parameters.
pub(crate) fn content_type(request: &HttpRequest) -> Option<String> {
    let given = request.headers().get(CONTENT_TYPE)?;
    let essence = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    Some(essence.trim().to_ascii_lowercase())
}

/// Whether this is one of the names of JSON.
pub(crate) fn is_json(essence: &str) -> bool {
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

pub(crate) fn unsupported(types: &str) -> ApiError {
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let message = format!("The request body must be sent as Content-Type: {types}");
    ApiError::new(status, "unsupported_media_type", message)
}

fn unreadable(error: actix_web::Error) -> ApiError {
    match error.as_response_error().status_code() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(API_BYTES),
        _ => {
            let message = format!("The request body cannot be read: {error}");
            ApiError::bad_request("unreadable_body", message)
        }
    }
}

pub(crate) fn too_large(limit: usize) -> ApiError {
    let message = format!("The request body must have at most {limit} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
}

/// Reads a body that must be a JSON object.
pub(crate) fn parse(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let malformed = |why| ApiError::bad_request("malformed_json", why);
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(malformed("The request body must be a JSON object".to_owned())),
        Err(error) => Err(malformed(format!("The request body is not valid JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn refused(content_type: &str) -> bool {
        let request = TestRequest::default().insert_header((CONTENT_TYPE, content_type));
        refuse_content_type(&request.to_http_request()).is_some()
    }

    #[test]
    fn json_has_several_names() {
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/x+json"] {
            assert!(!refused(good), "{good}");
        }
        for bad in ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"] {
            assert!(refused(bad), "{bad}");
        }
        assert!(refuse_content_type(&TestRequest::default().to_http_request()).is_none());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for bad in ["", "{", "[1]", "null", "{\"a\":1}x", &"[".repeat(10_000), "{\"a\":\"\u{1}\"}"]
        {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:.40}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}").is_err(), "invalid UTF-8");
        assert_eq!(parse(b" {\"a\":1} ").expect("an object")["a"], 1);
    }
}
