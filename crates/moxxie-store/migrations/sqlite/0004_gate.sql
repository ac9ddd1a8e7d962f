-- Where a machine may boot from: JSON lists of networks, NULL where nothing is said.
ALTER TABLE boot_profiles ADD COLUMN provisioning TEXT CHECK (json_valid(provisioning));
ALTER TABLE boot_profiles ADD COLUMN approval TEXT NOT NULL DEFAULT 'auto';
ALTER TABLE boot_profiles ADD COLUMN contention TEXT NOT NULL DEFAULT 'alarm';
ALTER TABLE node_boot_assignments ADD COLUMN provisioning TEXT CHECK (json_valid(provisioning));
ALTER TABLE node_boot_assignments ADD COLUMN approval TEXT;
-- The address that was last given a script in this window, or the config.
ALTER TABLE node_boot_assignments ADD COLUMN asked_from TEXT;
-- Who waits for approval and who has it, as JSON; NULL for nobody.
ALTER TABLE node_boot_assignments ADD COLUMN asking TEXT CHECK (json_valid(asking));
