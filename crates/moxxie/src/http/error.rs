//! One place turns errors into replies: a short plain line for machines (Talos shows the first
//! 32 bytes), `application/problem+json` (RFC 9457) for programs. The log gets the cause.

use crate::witness::Unrecorded;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use moxxie_store::StoreError;
use serde::Serialize;

/// Seconds that a machine or client is asked to wait when the database is away.
const WAIT: u64 = 5;

/// A refusal on a boot route. Never a 200: BIOS iPXE would run its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootError {
    /// 4xx, 429 or 503.
    pub status: StatusCode,
    /// One line for the machine's screen.
    pub line: String,
    /// Whole seconds after which asking again makes sense; iPXE obeys it.
    pub retry_after: Option<u64>,
}

impl BootError {
    /// The request cannot be understood.
    pub fn bad_request(line: impl std::fmt::Display) -> BootError {
        BootError::new(StatusCode::BAD_REQUEST, line)
    }

    /// There is no such thing.
    pub fn not_found(line: impl std::fmt::Display) -> BootError {
        BootError::new(StatusCode::NOT_FOUND, line)
    }

    /// Any bad token, with one body for all causes.
    pub fn forbidden() -> BootError {
        BootError::new(StatusCode::FORBIDDEN, "moxxie: not allowed")
    }

    /// Not now; ask again.
    pub fn later(line: impl std::fmt::Display) -> BootError {
        BootError { retry_after: Some(WAIT), ..BootError::new(StatusCode::SERVICE_UNAVAILABLE, line) }
    }

    /// Asked too often; worth another try after so many seconds.
    pub fn too_many(seconds: u64) -> BootError {
        let error = BootError::new(StatusCode::TOO_MANY_REQUESTS, "moxxie: too many requests, wait");
        BootError { retry_after: Some(seconds), ..error }
    }

    /// Any status.
    pub fn new(status: StatusCode, line: impl std::fmt::Display) -> BootError {
        BootError { status, line: line.to_string(), retry_after: None }
    }
}

impl From<Unrecorded> for BootError {
    fn from(error: Unrecorded) -> BootError {
        BootError::later(format!("moxxie: {error}"))
    }
}

impl From<StoreError> for BootError {
    fn from(error: StoreError) -> BootError {
        tracing::warn!(%error, "the database could not answer a machine");
        BootError::later("moxxie: database away, wait")
    }
}

impl IntoResponse for BootError {
    fn into_response(self) -> Response {
        let mut line = moxxie_core::boot::event::one_line(&self.line, 200);
        line.push('\n');
        let mut response = (self.status, line).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the field.
    pub pointer: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl FieldError {
    /// About the field at this pointer.
    pub fn new(pointer: impl Into<String>, message: impl std::fmt::Display) -> FieldError {
        FieldError { pointer: pointer.into(), message: message.to_string() }
    }
}

/// An error of the API (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// `about:blank`, or a URN that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence, and what to do next.
    pub detail: String,
    /// The fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// Why the API refused, for the audit log.
#[derive(Debug, Clone)]
pub struct Because(pub String);

/// A refusal of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    /// Whole seconds after which asking again makes sense.
    retry_after: Option<u64>,
}

/// What a handler of the API gives back.
pub type ApiResult<T> = Result<T, ApiError>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident => $status:ident, $code:literal;)*) => {
        impl ApiError {$(
            $(#[$doc])*
            pub fn $name(detail: impl std::fmt::Display) -> ApiError {
                ApiError {
                    status: StatusCode::$status, code: $code, detail: detail.to_string(), errors: vec![],
                    retry_after: None,
                }
            }
        )*}
    };
}

kinds! {
    /// The request cannot be understood.
    bad_request => BAD_REQUEST, "bad-request";
    /// No token, or not a good one.
    unauthorized => UNAUTHORIZED, "unauthorized";
    /// The token's role does not allow it.
    forbidden => FORBIDDEN, "forbidden";
    /// There is no such thing.
    not_found => NOT_FOUND, "not-found";
    /// This URL does not have that method.
    method_not_allowed => METHOD_NOT_ALLOWED, "method-not-allowed";
    /// It contradicts what is there.
    conflict => CONFLICT, "conflict";
    /// It has changed since it was read.
    stale => PRECONDITION_FAILED, "stale";
    /// The URL is longer than allowed.
    uri_too_long => URI_TOO_LONG, "url-too-long";
    /// The headers are larger than allowed.
    headers_too_large => REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large";
    /// The body did not arrive in time.
    timeout => REQUEST_TIMEOUT, "timeout";
    /// Larger than allowed.
    too_large => PAYLOAD_TOO_LARGE, "too-large";
    /// Not a media type or encoding that is read here.
    unsupported_media => UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type";
    /// Understood, but not valid.
    invalid => UNPROCESSABLE_ENTITY, "invalid";
    /// Asked too often.
    too_many => TOO_MANY_REQUESTS, "too-many-requests";
    /// A server that was asked on the caller's behalf did not deliver.
    bad_gateway => BAD_GATEWAY, "import-failed";
    /// Cannot answer now.
    unavailable => SERVICE_UNAVAILABLE, "unavailable";
    /// No space left.
    full => INSUFFICIENT_STORAGE, "disk-full";
    /// A bug.
    internal => INTERNAL_SERVER_ERROR, "internal";
}

impl ApiError {
    /// The same, said of one of several things that the request is about.
    pub fn about(mut self, what: &str) -> ApiError {
        self.detail = format!("{what}: {}", self.detail);
        self
    }

    /// The same, worth another try after so many seconds.
    pub fn after(mut self, seconds: u64) -> ApiError {
        self.retry_after = Some(seconds);
        self
    }

    /// Its HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The same in the words of a boot route, which tell nothing of the API.
    pub fn on_boot_route(self) -> BootError {
        match self.retry_after {
            Some(seconds) => BootError::too_many(seconds),
            None => BootError::forbidden(),
        }
    }

    /// Understood, but these fields are not valid.
    pub fn fields(errors: Vec<FieldError>) -> ApiError {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.pointer, one.message),
            many => format!("{} fields are not valid", many.len()),
        };
        ApiError { errors, ..ApiError::invalid(detail) }
    }

    /// One field is not valid.
    pub fn field(pointer: impl Into<String>, message: impl std::fmt::Display) -> ApiError {
        ApiError::fields(vec![FieldError::new(pointer, message)])
    }

    /// Puts the fields below an array item, for requests that carry several objects.
    pub fn below(mut self, prefix: &str) -> ApiError {
        for error in &mut self.errors {
            error.pointer.insert_str(0, prefix);
        }
        self.detail = format!("{prefix}: {}", self.detail);
        self
    }
}

impl From<Unrecorded> for ApiError {
    fn from(error: Unrecorded) -> ApiError {
        ApiError::unavailable(error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        match error {
            StoreError::Unavailable(ref why) => {
                tracing::warn!(error = %why, "the database could not answer the API");
                ApiError::unavailable("the database does not answer; try again, and see /readyz")
            }
            StoreError::NewerSchema { .. } | StoreError::WrongKey { .. } | StoreError::RetiredKey(_) => {
                tracing::error!(%error, "the database cannot be used");
                ApiError::unavailable(error)
            }
            StoreError::NotFound(what) => ApiError::not_found(format!("no such {what}")),
            StoreError::Conflict(why) => ApiError::conflict(why),
            StoreError::Stale => ApiError::stale("it has changed since you read it: read it again"),
            StoreError::Busy => {
                ApiError::unavailable("the same bytes are being deleted at this moment: try again")
            }
            StoreError::Full => {
                ApiError::full("the database's disk is full: free some space, nothing was changed")
            }
            StoreError::Corrupt(ref why) => {
                tracing::error!(error = %why, "unreadable row");
                ApiError::internal("the database holds something unreadable; the log says what")
            }
        }
    }
}

impl From<BootError> for ApiError {
    fn from(error: BootError) -> ApiError {
        let detail = error.line.strip_prefix("moxxie: ").unwrap_or(&error.line);
        let told = match error.status {
            StatusCode::NOT_FOUND => ApiError::not_found(detail),
            StatusCode::BAD_REQUEST => ApiError::bad_request(detail),
            StatusCode::FORBIDDEN => ApiError::forbidden(detail),
            StatusCode::TOO_MANY_REQUESTS => ApiError::too_many(detail),
            _ => ApiError::unavailable(detail),
        };
        ApiError { retry_after: error.retry_after, ..told }
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Problem {
        Problem {
            kind: format!("urn:moxxie:problem:{}", error.code),
            title: error.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: error.status.as_u16(),
            detail: error.detail,
            errors: error.errors,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, because) = (self.status, Because(self.detail.clone()));
        let wait = self.retry_after.unwrap_or(WAIT);
        let mut response = (status, Json(Problem::from(self))).into_response();
        response.extensions_mut().insert(because);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(wait));
            }
            _ => {}
        }
        response
    }
}
