-- Times are milliseconds since 1970, ids are text, JSON is text. Secrets are sealed by the service.

CREATE TABLE companies (
    id         BIGINT NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE twilio_config (
    company_id       BIGINT NOT NULL PRIMARY KEY REFERENCES companies (id) ON DELETE CASCADE,
    account_sid      TEXT   NOT NULL,
    auth_token       TEXT   NOT NULL, -- sealed
    phone_number     TEXT   NOT NULL,
    max_cps          DOUBLE PRECISION, -- null: the service's default
    fallback_number  TEXT,
    allowed_prefixes TEXT              -- a JSON array; null: every number may be called
);
CREATE INDEX twilio_config_phone_number ON twilio_config (phone_number);

CREATE TABLE ultravox_config (
    company_id    BIGINT NOT NULL PRIMARY KEY REFERENCES companies (id) ON DELETE CASCADE,
    apikey        TEXT   NOT NULL, -- sealed
    apiurl        TEXT,            -- null: the service's default
    system_prompt TEXT   NOT NULL DEFAULT '',
    model         TEXT   NOT NULL DEFAULT 'fixie-ai/ultravox',
    voice         TEXT   NOT NULL DEFAULT 'terrence',
    firstspeaker  TEXT   NOT NULL DEFAULT 'FIRST_SPEAKER_USER',
    medium        TEXT   NOT NULL DEFAULT 'serverWebSocket'
);

CREATE TABLE api_keys (
    id         TEXT   NOT NULL PRIMARY KEY,
    hash       TEXT   NOT NULL UNIQUE, -- SHA-256, hex
    prefix     TEXT   NOT NULL,        -- what people tell keys apart by
    company_id BIGINT REFERENCES companies (id) ON DELETE CASCADE, -- null: an admin key
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX api_keys_company ON api_keys (company_id);

CREATE TABLE nodes (
    id           TEXT   NOT NULL PRIMARY KEY,
    started_at   BIGINT NOT NULL,
    heartbeat_at BIGINT NOT NULL
);

CREATE TABLE calls (
    id               TEXT   NOT NULL PRIMARY KEY,
    company_id       BIGINT NOT NULL REFERENCES companies (id),
    node_id          TEXT   NOT NULL, -- no reference: a call outlives its node
    direction        TEXT   NOT NULL,
    to_number        TEXT   NOT NULL,
    from_number      TEXT   NOT NULL,
    call_sid         TEXT   UNIQUE,
    stream_sid       TEXT,
    ultravox_call_id TEXT,
    join_url         TEXT, -- sealed; erased when the call is over
    status           TEXT   NOT NULL,
    end_reason       TEXT,
    detail           TEXT,
    created_at       BIGINT NOT NULL,
    answered_at      BIGINT,
    ended_at         BIGINT,
    duration_ms      BIGINT,
    updated_at       BIGINT NOT NULL,
    last_event_seq   BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX calls_company ON calls (company_id, created_at, id);
CREATE INDEX calls_live ON calls (node_id) WHERE status IN ('initiated', 'ringing', 'in-progress');

CREATE TABLE call_events (
    call_id TEXT   NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    seq     BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    kind    TEXT   NOT NULL,
    detail  TEXT   NOT NULL, -- JSON
    PRIMARY KEY (call_id, seq)
) WITHOUT ROWID; -- kept in the order they are read
