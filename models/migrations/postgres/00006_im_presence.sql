-- +goose Up
-- What an IM server tells about its users beside messages, for servers whose messages
-- do not say who is offline. state: 1 connected, 2 connection lost, 3 logged out.
-- at is the server's clock in milliseconds and orders events; seen is ours in seconds.
CREATE TABLE im_presence (
    im_app_id bigint NOT NULL,
    account   text NOT NULL,
    platform  text NOT NULL,
    state     bigint NOT NULL,
    at        bigint NOT NULL,
    seen      bigint NOT NULL,
    PRIMARY KEY (im_app_id, account, platform)
);

-- Who is in which group, for servers whose group messages do not say.
CREATE TABLE im_group_members (
    im_app_id bigint NOT NULL,
    group_id  text NOT NULL,
    account   text NOT NULL,
    PRIMARY KEY (im_app_id, group_id, account)
);
