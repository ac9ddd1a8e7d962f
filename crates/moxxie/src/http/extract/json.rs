//! JSON bodies, read strictly: bounded, no duplicate keys, no unknown fields, errors that point
//! at the field.

use crate::http::error::{ApiError, FieldError};
use crate::server::TooSlow;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header;
use http_body_util::{BodyExt, Limited};
use moxxie_core::secret::mask_text;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// Largest body.
pub const MAX_BODY: usize = 1024 * 1024;
/// How long a body may take. A backup of 256 MiB has to pass as well.
const BODY_TIME: Duration = Duration::from_secs(300);
/// Deepest nesting.
const MAX_DEPTH: usize = 25;

/// A JSON body that was read strictly but not typed yet.
pub struct JsonBody(pub Value);

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        if parts.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(ApiError::unsupported_media("send the body without Content-Encoding"));
        }
        let mime = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        let mime = mime.split(';').next().unwrap_or("").trim();
        if !mime.eq_ignore_ascii_case("application/json") && !mime.to_ascii_lowercase().ends_with("+json") {
            return Err(ApiError::unsupported_media("send Content-Type: application/json"));
        }
        let bytes = read(body, MAX_BODY).await?;
        parse_json(&bytes).map(JsonBody)
    }
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// More bytes than allowed.
    TooLarge,
    /// It did not arrive in time.
    Late,
    /// The connection broke.
    CutOff,
}

/// Reads a body of at most so many bytes, which must arrive in time: else whoever announces a
/// body and sends none would hold a connection for ever.
pub async fn collect(body: Body, limit: usize, within: Duration) -> Result<Bytes, BodyError> {
    let Ok(read) = tokio::time::timeout(within, Limited::new(body, limit).collect()).await else {
        return Err(BodyError::Late);
    };
    match read {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(BodyError::TooLarge),
        Err(error) if is_too_slow(&*error) => Err(BodyError::Late),
        Err(_) => Err(BodyError::CutOff),
    }
}

/// Whether a body ended because its client sent too little.
pub fn is_too_slow(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<TooSlow>())
}

/// Reads the body of a call to the API.
pub async fn read(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    collect(body, limit, BODY_TIME).await.map_err(|error| match error {
        BodyError::TooLarge => ApiError::too_large(format!("the body is larger than {limit} bytes")),
        BodyError::Late => ApiError::timeout("the body did not arrive in time"),
        BodyError::CutOff => ApiError::bad_request("the body did not arrive in full"),
    })
}

/// Parses JSON strictly.
pub fn parse_json(bytes: &[u8]) -> Result<Value, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Strict { depth: 0 }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|e| ApiError::bad_request(format!("not valid JSON: {e}")))
}

/// Gives a value its type; an error points at the field.
pub fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let mut pointer = String::new();
        for segment in error.path() {
            use serde_path_to_error::Segment;
            match segment {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } => {
                    pointer.push('/');
                    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                }
                _ => {}
            }
        }
        let message = without_value(error.inner().to_string());
        // An unknown or missing field is about the field, not about the object around it.
        let named = message
            .split('`')
            .nth(1)
            .filter(|_| message.starts_with("unknown field") || message.starts_with("missing field"));
        if let Some(name) = named
            && !pointer.ends_with(&format!("/{name}"))
        {
            pointer.push('/');
            pointer.push_str(name);
        }
        ApiError::fields(vec![FieldError::new(pointer, message)])
    })
}

/// Takes the value out of serde's messages: a secret in the wrong field would go from the answer
/// into terminals and the logs of whatever called.
fn without_value(message: String) -> String {
    if let Some(rest) = message.strip_prefix("unknown variant `")
        && let Some((_, known)) = rest.split_once("`, expected ")
    {
        return format!("unknown value, expected {known}");
    }
    for kind in ["invalid type: string \"", "invalid value: string \""] {
        if let Some(rest) = message.strip_prefix(kind)
            && let Some((_, wanted)) = rest.rsplit_once("\", expected ")
        {
            return format!("{}, expected {wanted}", kind.trim_end_matches(" \""));
        }
    }
    // URLs may carry a password.
    if message.contains("://") { mask_text(&message) } else { message }
}

/// Builds a `Value`, refusing what `serde_json` would quietly accept.
struct Strict {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Strict {
    fn below<E: Error>(&self) -> Result<Strict, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_DEPTH}")));
        }
        Ok(Strict { depth: self.depth + 1 })
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.below()?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(self.below()?)?;
            if object.contains_key(&key) {
                let key = moxxie_core::boot::event::one_line(&key, 64);
                return Err(A::Error::custom(format!("the key {key:?} stands twice in one object")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_parsers_quietly_accept_is_refused() {
        let deep = "[".repeat(200_000);
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            "NaN",
            "1e999",
            "\u{feff}{}",
            "{} x",
            "",
            r#""\ud800""#,
            deep.as_str(),
        ] {
            assert!(parse_json(bad.as_bytes()).is_err(), "{:.40}", bad);
        }
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse_json(nested(25).as_bytes()).is_ok());
        assert!(parse_json(nested(27).as_bytes()).is_err());
        assert_eq!(parse_json(b"9007199254740993").unwrap(), 9_007_199_254_740_993_i64);
    }

    #[tokio::test]
    async fn a_body_that_never_comes_is_given_up() {
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        assert_eq!(collect(Body::from_stream(never), 10, Duration::ZERO).await, Err(BodyError::Late));
        assert_eq!(collect(Body::from("12345678901"), 10, BODY_TIME).await, Err(BodyError::TooLarge));
        assert_eq!(collect(Body::from("1234567890"), 10, BODY_TIME).await.unwrap(), "1234567890");
    }

    #[test]
    fn errors_point_at_the_field() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code)]
        struct T {
            name: String,
            list: Vec<u8>,
        }
        let error =
            |text: &str| format!("{:?}", typed::<T>(parse_json(text.as_bytes()).unwrap()).unwrap_err());
        assert!(error(r#"{"name":"x","list":[1,300]}"#).contains(r#"pointer: "/list/1""#));
        assert!(error(r#"{"name":"x","list":[],"nmae":1}"#).contains(r#"pointer: "/nmae""#));
        assert!(error(r#"{"list":[]}"#).contains(r#"pointer: "/name""#));
    }
}
