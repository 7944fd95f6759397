-- +goose Up
-- Until when what arrives at this IM app's address is kept with its content, too.
ALTER TABLE im_apps ADD COLUMN content_until timestamptz;

-- The requests that came last to an IM app, as its page shows them: at most 50 each,
-- for a day. shape is the request with every text, token and secret masked. content is
-- the sealed request with its texts, only while the operator asked for it: it is wiped
-- at content_until.
CREATE TABLE im_arrivals (
    id            text COLLATE "C" NOT NULL PRIMARY KEY,
    im_app_id     bigint NOT NULL REFERENCES im_apps (id),
    at            timestamptz NOT NULL,
    kind          text NOT NULL,
    sample        boolean NOT NULL DEFAULT false,
    status        integer NOT NULL,
    code          text NOT NULL,
    detail        text NOT NULL,
    counts        text NOT NULL,
    address       text NOT NULL,
    micros        bigint NOT NULL,
    bytes         bigint NOT NULL,
    shape         text NOT NULL,
    content       bytea NOT NULL DEFAULT '',
    content_until timestamptz
);
CREATE INDEX im_arrivals_app ON im_arrivals (im_app_id, id);
CREATE INDEX im_arrivals_content ON im_arrivals (content_until) WHERE content_until IS NOT NULL;
