//! The description of the API, made from the code.

use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

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
