-- Agents, numbers, lists of calls, retried requests, and what the metrics routes tell.

ALTER TABLE companies ADD COLUMN inbound_agent_id TEXT; -- who answers when the number names nobody

-- Numbers that reach a company besides the one it calls from.
CREATE TABLE phone_numbers (
    number     TEXT   NOT NULL PRIMARY KEY,
    company_id BIGINT NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
    agent_id   TEXT -- null: the company's agent for inbound calls
);
CREATE INDEX phone_numbers_company ON phone_numbers (company_id, number);

ALTER TABLE api_keys ADD COLUMN name TEXT NOT NULL DEFAULT '';

CREATE TABLE agents (
    id                 TEXT   NOT NULL PRIMARY KEY,
    company_id         BIGINT NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
    ultravox_agent_id  TEXT, -- null: Ultravox has not made it yet
    name               TEXT   NOT NULL,
    prompt             TEXT   NOT NULL,
    voice              TEXT   NOT NULL,
    language           TEXT   NOT NULL,
    template_variables TEXT   NOT NULL, -- a JSON object of texts
    status             TEXT   NOT NULL,
    detail             TEXT,
    created_at         BIGINT NOT NULL,
    updated_at         BIGINT NOT NULL,
    deleted_at         BIGINT -- kept, because calls name it
);
CREATE INDEX agents_company ON agents (company_id, created_at, id);
CREATE INDEX agents_creating ON agents (created_at) WHERE status = 'creating';

ALTER TABLE calls ADD COLUMN agent_id TEXT; -- no reference: a call outlives its agent
ALTER TABLE calls ADD COLUMN tallied BIGINT NOT NULL DEFAULT 0; -- 1: its end is in totals
-- Whoever is no company: who called, or who was called.
ALTER TABLE calls ADD COLUMN person_number TEXT GENERATED ALWAYS AS
    (CASE direction WHEN 'inbound' THEN from_number ELSE to_number END) STORED;
CREATE INDEX calls_agent ON calls (company_id, agent_id, created_at, id);
CREATE INDEX calls_status ON calls (company_id, status, created_at, id);
CREATE INDEX calls_person ON calls (company_id, person_number, created_at, id);
CREATE INDEX calls_direction ON calls (company_id, direction, created_at, id);
-- Two conditions that may have nothing in common, each of which fits many calls.
CREATE INDEX calls_agent_status ON calls (company_id, agent_id, status, created_at, id);
CREATE INDEX calls_direction_status ON calls (company_id, direction, status, created_at, id);
-- Begins with the status, or the counting of live calls would go through calls_status.
DROP INDEX calls_live;
CREATE INDEX calls_live ON calls (status, node_id)
    WHERE status IN ('initiated', 'ringing', 'in-progress');

CREATE TABLE idempotency_keys (
    id         TEXT   NOT NULL PRIMARY KEY, -- the company, a slash, the key the client chose
    company_id BIGINT NOT NULL,
    route      TEXT   NOT NULL,
    body_hash  TEXT   NOT NULL,
    node_id    TEXT   NOT NULL,
    call_id    TEXT,
    status     BIGINT, -- of the first answer; null: there is none yet
    body       TEXT,   -- sealed
    created_at BIGINT NOT NULL
);
CREATE INDEX idempotency_keys_company ON idempotency_keys (company_id);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- In these three company 0 is nobody. They name companies without a reference, so that counting
-- never waits for whoever changes a company.
CREATE TABLE events (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company_id BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    agent_id   TEXT,
    call_sid   TEXT,
    call_id    TEXT
);
CREATE INDEX events_company ON events (company_id, id);

CREATE TABLE api_calls (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company_id  BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    method      TEXT   NOT NULL,
    endpoint    TEXT   NOT NULL,
    status      BIGINT NOT NULL,
    duration_us BIGINT NOT NULL
);
CREATE INDEX api_calls_company ON api_calls (company_id, id);

CREATE TABLE totals (
    company_id BIGINT NOT NULL,
    name       TEXT   NOT NULL,
    count      BIGINT NOT NULL,
    PRIMARY KEY (company_id, name)
);

-- Calls that were over before anybody counted.
INSERT INTO totals (company_id, name, count)
    SELECT company_id, 'calls_successful', count(*) FROM calls
    WHERE status = 'completed' GROUP BY company_id;
INSERT INTO totals (company_id, name, count)
    SELECT company_id, 'calls_failed', count(*) FROM calls
    WHERE status NOT IN ('initiated', 'ringing', 'in-progress', 'completed') GROUP BY company_id;
UPDATE calls SET tallied = 1 WHERE status NOT IN ('initiated', 'ringing', 'in-progress');
