//! Every URL, on one page, grouped by who calls it.

use crate::app::App;
use crate::http::api::v1::{
    apply, approvals, assets, assignments, audit, backup, config, doctor, downloads, events, explain,
    extract, firmware, machines, network_config, profiles, secrets, tokens, troubleshoot, uploads,
};
use crate::http::{self, boot, docs, error, middleware, ops};
use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes with their description.
pub fn described() -> OpenApiRouter<Arc<App>> {
    let mut routes = OpenApiRouter::with_openapi(crate::openapi::base())
        // Machines: no login.
        .routes(routes!(boot::menu::menu))
        .routes(routes!(boot::asset::asset))
        .routes(routes!(boot::firmware::firmware))
        .routes(routes!(boot::config::config))
        .routes(routes!(boot::config::resource))
        .routes(routes!(boot::config::resource_with_token))
        .routes(routes!(boot::report::report))
        // Operators and programs: a bearer token each.
        .routes(routes!(profiles::list::list, profiles::create::create))
        .routes(routes!(
            profiles::get::get,
            profiles::update::put,
            profiles::update::patch,
            profiles::delete::delete
        ))
        .routes(routes!(assets::list::list, assets::add::add))
        .routes(routes!(assets::download::download, assets::upload::upload, assets::remove::remove))
        .routes(routes!(uploads::create))
        .routes(routes!(uploads::get, uploads::append, uploads::delete))
        .routes(routes!(extract::extract))
        .routes(routes!(firmware::list))
        .routes(routes!(firmware::put, firmware::delete))
        .routes(routes!(assignments::list::list, assignments::create::create))
        .routes(routes!(
            assignments::get::get,
            assignments::update::put,
            assignments::update::patch,
            assignments::delete::delete
        ))
        .routes(routes!(assignments::arm::arm))
        .routes(routes!(assignments::arm::disarm))
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::list, approvals::approve_code))
        .routes(routes!(explain::explain))
        .routes(routes!(troubleshoot::search))
        .routes(routes!(machines::list))
        .routes(routes!(network_config::get))
        .routes(routes!(downloads::list))
        .routes(routes!(events::list))
        .routes(routes!(apply::apply))
        .routes(routes!(apply::export))
        .routes(routes!(audit::list))
        .routes(routes!(audit::verify))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(backup::backup))
        .routes(routes!(backup::restore))
        .routes(routes!(config::reload))
        .routes(routes!(doctor::get))
        .routes(routes!(secrets::status))
        .routes(routes!(secrets::reseal))
        // Monitoring and load balancers.
        .routes(routes!(ops::livez))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::metrics));
    crate::openapi::complete(routes.get_openapi_mut());
    routes
}

/// The whole service.
pub fn router(app: Arc<App>) -> Router {
    let (routes, description) = described().split_for_parts();
    finish(routes, &description, app)
}

/// Adds the routes that have no description, and what every request goes through.
pub fn finish(routes: Router<Arc<App>>, description: &OpenApi, app: Arc<App>) -> Router {
    let routes = routes
        // axum has no suffix patterns: the handler takes the name and its `.ipxe` apart.
        .route("/boot/{profile}", get(boot::menu::profile))
        // The description has no word for "the rest of the path".
        .route("/boot/assets/{profile}/{file}/{*member}", get(boot::member::member))
        .route("/api/v1/openapi.json", docs::json(description))
        .route("/api/docs", docs::page(description))
        .route("/troubleshoot", get(http::troubleshoot::page))
        .fallback(not_found)
        .layer(CatchPanicLayer::custom(middleware::panicked))
        .layer(from_fn_with_state(app.clone(), middleware::every_request))
        .with_state(app);
    // Around the routes and not a layer on them: a layer runs when the route is chosen already.
    Router::new().fallback_service(routes.map_request(middleware::collapse_slashes))
}

async fn not_found(request: Request) -> Response {
    match request.uri().path().starts_with("/boot") {
        true => error::BootError::not_found("moxxie: no such route").into_response(),
        false => error::ApiError::not_found("no such URL; /api/docs lists them").into_response(),
    }
}
