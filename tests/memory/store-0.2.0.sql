BEGIN TRANSACTION;
CREATE TABLE ended (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    site TEXT NOT NULL, key TEXT NOT NULL UNIQUE, at REAL NOT NULL, expires REAL NOT NULL, sealed TEXT NOT NULL
);
INSERT INTO "ended" VALUES(1,'oauth-proxy:review.example.com:__Host-session','oauth-proxy:review.example.com:__Host-session:ended:do8yME2c_cZxua8alwXlY966MGefD2bHtc8j0tnYIJQ',1800000060.0,1800604800.0,'VvRlWeh5BXcWHeq5jKGonkYt5buMBmIk0Xx25rHYyIDOli2GsFxozceAv8Kjn5qXO98fPNerMOuTqYE5myfwD2klwF3eKERP6DbwCJyLdDp6PFPr');
CREATE TABLE epoch (name TEXT NOT NULL);
INSERT INTO "epoch" VALUES('DC2A76D5AAAC64FE');
CREATE TABLE record (
    key TEXT PRIMARY KEY, at REAL NOT NULL, expires REAL NOT NULL, sealed TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "record" VALUES('oauth-proxy:review.example.com:__Host-session:clock',1800000000.0,1800604800.0,'VvRlWa2jTEJzLBEBX_W-krnGC-xtFDF7Q5cegfrCqi3WYgsCMbPRnR9hldFu');
INSERT INTO "record" VALUES('oauth-proxy:review.example.com:__Host-session:seen:-lelLb8IGQIYUpcwo-mdtpRsbCkiD7bgVR4hWYsLBds',1800000000.0,1800086400.0,'VvRlWYK634gVJ8czmmNcg2QMGyTxBkdkaQr7lxTidVOIr-wvIhyDqMx-c_mW-e0xWPF5-eVVGg_K7s47gdzJOCR-uoVHUTE2CooutFYtQ-vO8izLWMU');
INSERT INTO "record" VALUES('oauth-proxy:review.example.com:__Host-session:session:-lelLb8IGQIYUpcwo-mdtpRsbCkiD7bgVR4hWYsLBds',1800000060.0,1800604800.0,'VvRlWWAvnpR9ik9ty36_erkFq8WpqeC-Mon-edLklqwNniuFi6RpgQ2VzP5OxRhbxIBC6dLdaiP_7nKgXf2qc0scT5DPIPHkS3vkG9RqUm7cdv8No-49UwGqlhaH6Uor6RwBH83kpZJ_3kvkFrqqEBMUtsnodXkley1Uq532C3NOe5k0Ag');
CREATE TABLE turn (key TEXT PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX record_expires ON record (expires);
CREATE INDEX ended_expires ON ended (expires);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('ended',1);
COMMIT;
PRAGMA application_id = 1330660952;
PRAGMA user_version = 1;
