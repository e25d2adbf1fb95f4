-- The registry's signature over the release of the identity, in base58: calls for it need no signature until it signs
-- again. NULL while they do.
ALTER TABLE signer ADD COLUMN release TEXT;
