# Three stages: third-party browser files, the static binary, and an image with
# nothing in it but that binary. scripts/docker-steps.sh runs the same steps where
# there is no container engine; `make test` runs it.
#
# Behind mirrors, pass what you need:
#   docker build --build-arg GOPROXY=… --build-arg NPM_REGISTRY=… \
#     --build-arg NODE_IMAGE=… --build-arg GO_IMAGE=… --build-arg RUN_IMAGE=… .
ARG NODE_IMAGE=node:20-bookworm-slim
ARG GO_IMAGE=golang:1.26-bookworm
ARG RUN_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM ${NODE_IMAGE} AS packages
ARG NPM_REGISTRY
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --omit=dev ${NPM_REGISTRY:+--registry="$NPM_REGISTRY"}

FROM ${GO_IMAGE} AS build
ARG GOPROXY
ARG GOSUMDB
ARG VERSION=docker
ENV CGO_ENABLED=0
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=packages /src/node_modules ./node_modules
RUN go run ./static/build
RUN go build -trimpath -ldflags "-s -w -X main.release=${VERSION}" -o /out/hongyan .
# An empty folder to copy with its owner: the last image has no shell to make one.
RUN mkdir -p /out/data

FROM ${RUN_IMAGE}
COPY --from=build /out/hongyan /hongyan
COPY --from=build --chown=65532:65532 /out/data /data
ENV DATA_DIR=/data LOG_FORMAT=json
USER 65532:65532
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/hongyan", "healthcheck"]
ENTRYPOINT ["/hongyan"]
CMD ["serve"]
