-- Where a machine may boot from: JSON lists of networks, NULL where nothing is said.
ALTER TABLE boot_profiles ADD COLUMN provisioning TEXT COLLATE "C";
ALTER TABLE boot_profiles ADD COLUMN approval TEXT COLLATE "C" NOT NULL DEFAULT 'auto';
ALTER TABLE boot_profiles ADD COLUMN contention TEXT COLLATE "C" NOT NULL DEFAULT 'alarm';
ALTER TABLE node_boot_assignments ADD COLUMN provisioning TEXT COLLATE "C";
ALTER TABLE node_boot_assignments ADD COLUMN approval TEXT COLLATE "C";
-- The address that was last given a script in this window, or the config.
ALTER TABLE node_boot_assignments ADD COLUMN asked_from TEXT COLLATE "C";
-- Who waits for approval and who has it, as JSON; NULL for nobody.
ALTER TABLE node_boot_assignments ADD COLUMN asking TEXT COLLATE "C";
