-- Campaigns, whom they call, whom nobody may call, and how fast a company dials.

CREATE TABLE campaigns (
    id         TEXT   NOT NULL PRIMARY KEY,
    company_id BIGINT NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
    agent_id   TEXT,            -- null: the company's configuration says all
    name       TEXT   NOT NULL,
    state      TEXT   NOT NULL, -- loading, running, paused, canceling, canceled, completed
    cause      TEXT,            -- why it is paused, when nobody asked for it
    end_calls  BIGINT NOT NULL DEFAULT 0, -- 1: canceled together with its live calls
    settings   TEXT   NOT NULL, -- JSON: limits, hours, retries, answering machines
    node_id    TEXT,            -- who runs it; a lease that ends with that node's heartbeats
    recipients BIGINT NOT NULL DEFAULT 0,
    pace       DOUBLE PRECISION, -- recipients that were done with in the last minute
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at   BIGINT,
    updated_at BIGINT NOT NULL
);
CREATE INDEX campaigns_company ON campaigns (company_id, created_at, id);
CREATE INDEX campaigns_state ON campaigns (company_id, state, created_at, id);
CREATE INDEX campaigns_open ON campaigns (node_id)
    WHERE state IN ('loading', 'running', 'paused', 'canceling');

CREATE TABLE campaign_calls (
    campaign_id TEXT   NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    seq         BIGINT NOT NULL, -- place in the upload, from 1
    number      TEXT   NOT NULL, -- as it was given, where it is none
    context     TEXT,            -- a JSON object of texts
    timezone    TEXT,
    priority    BIGINT NOT NULL DEFAULT 0,
    not_before  BIGINT,
    state       TEXT   NOT NULL, -- waiting, calling, or how it ended
    attempts    BIGINT NOT NULL DEFAULT 0,
    due_at      BIGINT,          -- not dialled before; null: at once
    call_id     TEXT,            -- of the latest attempt, as is all that follows
    call_sid    TEXT,
    join_url    TEXT,            -- sealed; only where the answer to an upload needs it
    reason      TEXT,
    detail      TEXT,
    answered_by TEXT,
    duration_ms BIGINT,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, seq)
);
CREATE INDEX campaign_calls_state ON campaign_calls (campaign_id, state, seq);

-- How many recipients of a campaign are in each state, so that nobody has to count them.
CREATE TABLE campaign_counts (
    campaign_id TEXT   NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    name        TEXT   NOT NULL,
    count       BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, name)
);

ALTER TABLE calls ADD COLUMN campaign_id TEXT; -- no reference: a call outlives its campaign
ALTER TABLE calls ADD COLUMN campaign_seq BIGINT;
ALTER TABLE calls ADD COLUMN answered_by TEXT; -- in Twilio's words
CREATE INDEX calls_campaign ON calls (campaign_id, created_at, id) WHERE campaign_id IS NOT NULL;

CREATE TABLE do_not_call (
    company_id BIGINT NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
    number     TEXT   NOT NULL,
    source     TEXT   NOT NULL, -- api, upload, agent, cli
    note       TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (company_id, number)
);

-- How fast a company dials, where several nodes dial for it: whoever asks Twilio for a call holds a
-- slot until Twilio has answered, and then the slot rests.
CREATE TABLE dial_slots (
    company_id BIGINT NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
    slot       BIGINT NOT NULL,
    used_at    BIGINT NOT NULL, -- when Twilio answered; in the future while it is asked
    PRIMARY KEY (company_id, slot)
);
