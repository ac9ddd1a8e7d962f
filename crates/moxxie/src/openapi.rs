//! The description of the API, made from the code.

use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, PathItem, Ref, RefOr, Required, Response};

#[derive(OpenApi)]
#[openapi(
    info(title = "Moxxie", description = "Network boot for people who run their own metal."),
    // Its route is `/boot/{profile}`, because axum has no suffix patterns; this is its real name. The
    // member of an image is the rest of a path, which the description cannot say.
    paths(crate::http::boot::menu::profile, crate::http::boot::member::member),
    tags(
        (name = "boot", description = "For machines; no login, behind the allowlist"),
        (name = "profiles", description = "What machines boot"),
        (name = "assignments", description = "Which machine boots what"),
        (name = "operations", description = "Events, audit, tokens, backup, health"),
    ),
)]
struct Base;

/// The frame that the routes fill in.
pub fn base() -> utoipa::openapi::OpenApi {
    let mut base = Base::openapi();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    base.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(bearer));
    base
}

/// Says of every operation what holds for all of them: a name of its own, the role that it needs,
/// and the refusals that any handler may give. What a handler says itself stays.
pub fn complete(api: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(name(method, path));
            let role = role(operation);
            if let Some(role) = &role {
                let said = operation.description.take().map(|text| format!("{text}\n\n")).unwrap_or_default();
                operation.description = Some(format!("{said}Needs the role `{role}`."));
            }
            if path.starts_with("/api/") {
                refusals_of_the_api(path, method, role.is_some(), operation);
            } else if path.starts_with("/boot/") {
                refusals_of_boot_routes(operation);
            }
        }
    }
}

fn refusals_of_the_api(path: &str, method: &str, has_role: bool, operation: &mut Operation) {
    refuses(operation, "400", "the request cannot be understood");
    refuses(operation, "429", "too many requests; `Retry-After` says when to ask again");
    refuses(operation, "503", "the database does not answer; `Retry-After` says when to ask again");
    if has_role {
        refuses(operation, "401", "no token, or one that is unknown, expired or revoked");
        refuses(operation, "403", "the token's role does not allow it, or the network is not allowed");
    }
    if path.contains('{') {
        refuses(operation, "404", "there is no such thing");
    }
    if path.contains('{') || has_query(operation) || operation.request_body.is_some() {
        refuses(operation, "422", "a value that is not valid");
    }
    if operation.request_body.is_some() {
        refuses(operation, "408", "the body did not arrive in time");
        refuses(operation, "413", "the body is too large");
        refuses(operation, "415", "not a media type or encoding that is read here");
    }
    if method != "get" {
        refuses(operation, "507", "the disk is full");
    }
    if let Some(RefOr::T(body)) = &mut operation.request_body
        && body.content.contains_key("application/octet-stream")
    {
        // No bytes and no body are the same.
        body.required = Some(Required::False);
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            problem_type(response);
        }
    }
}

fn refusals_of_boot_routes(operation: &mut Operation) {
    for (status, why) in [
        ("400", "the request cannot be understood"),
        ("403", "the network is not allowed"),
        ("404", "there is no such thing"),
        ("429", "too many requests; ask again after `Retry-After` seconds"),
        ("503", "ask again after `Retry-After` seconds"),
    ] {
        let responses = &mut operation.responses.responses;
        responses.entry(status.into()).or_insert_with(|| Response::new(why).into());
    }
}

fn refuses(operation: &mut Operation, status: &str, why: &str) {
    operation.responses.responses.entry(status.into()).or_insert_with(|| {
        let mut response = Response::new(why);
        let body = Content::new(Some(Ref::from_schema_name("Problem")));
        response.content.insert(PROBLEM.into(), body.into());
        response.into()
    });
}

const PROBLEM: &str = "application/problem+json";

/// Problems have a media type of their own (RFC 9457, section 3).
fn problem_type(response: &mut Response) {
    let is_problem = |content: &RefOr<Content>| match content {
        RefOr::T(content) => {
            matches!(&content.schema, Some(RefOr::Ref(schema)) if schema.ref_location.ends_with("/Problem"))
        }
        RefOr::Ref(_) => false,
    };
    if response.content.get("application/json").is_some_and(is_problem)
        && let Some(content) = response.content.shift_remove("application/json")
    {
        response.content.insert(PROBLEM.into(), content);
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [("get", get), ("put", put), ("post", post), ("delete", delete), ("patch", patch)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// `get_boot_profiles_name` for `GET /api/v1/boot/profiles/{name}`.
fn name(method: &str, path: &str) -> String {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_")
}

/// The role in `security(("token" = ["viewer"]))`.
fn role(operation: &Operation) -> Option<String> {
    // Its fields are its own affair; its JSON is OpenAPI's.
    let first = serde_json::to_value(operation.security.as_ref()?.first()?).ok()?;
    Some(first["token"][0].as_str()?.to_owned())
}

fn has_query(operation: &Operation) -> bool {
    operation.parameters.iter().flatten().any(|parameter| match parameter {
        RefOr::T(parameter) => parameter.parameter_in == ParameterIn::Query,
        RefOr::Ref(_) => false,
    })
}
