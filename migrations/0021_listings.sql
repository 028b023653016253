-- A folder of which only new mail is listed, as a large one on an IMAP server is,
-- is listed whole once a day, to notice what is gone from it.

alter table mailrow.source_folders add column in_part_since timestamptz;
comment on column mailrow.source_folders.in_part_since is
    'Since when only new mail was listed: after a day all of it is again. NULL: the last listing was whole, or is to be.';

create or replace function mailrow_polling.open_folder(
    p_source bigint, p_name text, p_place text, p_policy text, out folder_id bigint, out revision text
) language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_place  text;
    v_policy text;
    v_old    boolean;
begin
    insert into mailrow.source_folders (source_id, name, place, policy) values (p_source, p_name, p_place, p_policy)
    on conflict on constraint source_folders_name_key do nothing;
    select f.folder_id, f.revision, f.place, f.policy, coalesce(f.in_part_since < now() - interval '1 day', false)
    into strict open_folder.folder_id, open_folder.revision, v_place, v_policy, v_old
    from mailrow.source_folders f where f.source_id = p_source and f.name = p_name for no key update;
    if v_place <> p_place then
        delete from mailrow.source_messages m where m.source_id = p_source and m.folder_id = open_folder.folder_id;
    end if;
    if v_place <> p_place or v_policy <> p_policy or v_old then
        update mailrow.source_folders f set place = p_place, policy = p_policy, revision = null, in_part_since = null
        where f.source_id = p_source and f.folder_id = open_folder.folder_id;
        open_folder.revision := null;
    end if;
end $$;
comment on function mailrow_polling.open_folder is
    'The folder of a name, and the revision up to which it is settled; NULL when everything is to be looked at.';

create or replace function mailrow_polling.listed(p_source bigint, p_folder bigint, p_revision text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
    update mailrow.source_folders f set revision = p_revision, listed_at = now(), in_part_since = null
    where f.source_id = p_source and f.folder_id = p_folder;
    -- Not at once: an empty folder may be a disk that is not mounted.
    delete from mailrow.source_messages m
    where m.source_id = p_source and m.folder_id = p_folder and m.gone_at < now() - interval '7 days';
end $$;
comment on function mailrow_polling.listed is
    'Records that a folder was listed to its end. The revision is NULL where some of its mail is not settled.';

create function mailrow_polling.listed_in_part(p_source bigint, p_folder bigint, p_revision text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
    update mailrow.source_folders f set revision = p_revision, listed_at = now(),
        -- An unchanged folder lacks nothing.
        in_part_since = coalesce(f.in_part_since, case when f.revision is distinct from p_revision or p_revision is null then now() end)
    where f.source_id = p_source and f.folder_id = p_folder;
end $$;
comment on function mailrow_polling.listed_in_part is
    'Records that what is new in a folder was listed to its end.';
