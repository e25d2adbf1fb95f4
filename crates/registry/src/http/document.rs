//! `OpenAPI` document of the API, generated from the handlers and their types.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use nym_mixnode_api::Refusal;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, PathItem, Ref, RefOr, ResponseBuilder};
use utoipa::{OpenApi, ToSchema};

/// Name of the security scheme of privileged calls.
const TOKEN: &str = "monitorToken";

/// Error responses of every call.
const OF_ALL: [(&str, &str); 3] = [
    ("408", "The request took longer than 10 seconds."),
    ("421", "Over loopback or with the token: `Host` is not a name of this registry."),
    ("500", "The registry failed; its log has the details."),
];

/// Error responses of every call with a body.
const OF_BODIES: [(&str, &str); 2] =
    [("413", "The body is too long."), ("415", "A web page sent a body that is not `application/json`.")];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Registry of a mix network",
        description = "The directory API of Nym 0.9.2, with additions.\n\n\
            Bodies are JSON, and are read as JSON whatever their `Content-Type` says, as by the validator of 0.9.2; only \
            web pages of other sites must send `application/json`. Unknown fields are ignored. Every error has a JSON \
            body. Web pages of all sites may read what needs no token.\n\n\
            The monitor token is in the registry's file `monitor.token`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Refusal)),
    tags(
        (name = "registration", description = "Calls of nodes and gateways"),
        (name = "topology", description = "Lists of nodes"),
        (name = "measurements", description = "Calls of monitors, and what they measured"),
        (name = "history", description = "Figures over time"),
        (name = "operation", description = "State of the registry"),
    )
)]
struct Head;

/// The document without paths, to which the router adds its routes.
pub(super) fn head() -> Document {
    let mut document = Head::openapi();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    document
}

/// Adds the errors that do not come from a handler.
pub(super) fn with_common_errors(mut document: Document) -> Document {
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let of_body = if operation.request_body.is_some() { &OF_BODIES[..] } else { &[] };
        for (status, description) in OF_ALL.iter().chain(of_body) {
            operation.responses.responses.entry((*status).to_owned()).or_insert_with(|| error(description));
        }
    }
    document
}

/// Operations of a path.
fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    [get, put, post, delete, options, head, patch, trace].into_iter().flatten()
}

/// Response with a JSON error.
fn error(description: &str) -> RefOr<utoipa::openapi::Response> {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(Refusal::name()))).build();
    ResponseBuilder::new().description(description).content("application/json", body).build().into()
}

/// This document.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    operation_id = "openApi",
    tag = "operation",
    responses((status = 200, description = "OpenAPI 3.1 document of this API", body = Object))
)]
pub(super) async fn openapi(Extension(document): Extension<Arc<Document>>) -> Response {
    Json(&*document).into_response()
}
