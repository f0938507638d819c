"""The contracts that clients are built on: OpenAPI 3.1 of each service, AsyncAPI 3 of the topic."""

import json

from pair import DOCS


def read(pair):
    """Returns the documents that the services serve, by file."""
    return {
        DOCS / "openapi/command-service.json": pair.get(pair.commands, "/openapi.json"),
        DOCS / "openapi/projection-service.json": pair.get(pair.views, "/openapi.json"),
        DOCS / "asyncapi/command-service.json": pair.get(pair.commands, "/asyncapi.json"),
    }


def files(documents):
    """Returns each document as text, one member a line."""
    return {
        path: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for path, document in documents.items()
    }
