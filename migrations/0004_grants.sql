-- Who may read what. The rights themselves are in rights.sql, which runs after
-- every migration.

create table mailrow.grants (
    role_name  text        not null,
    account_id bigint,
    granted_at timestamptz not null default now(),
    constraint grants_account_fkey foreign key (account_id)
        references mailrow.accounts on delete cascade
);
create unique index grants_key on mailrow.grants (role_name, coalesce(account_id, 0));
comment on table mailrow.grants is
    'One row per account that a database role may read. Write it with grant_account() and revoke_account(), which make the row-level security policies follow.';
comment on column mailrow.grants.account_id is 'The account; NULL for every account, also those to come.';

create function mailrow.apply_grants(p_role text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- Policies with constants and by role name: no subquery, no function call
    -- per row, and they hold on every node of a sharded database.
    v_accounts  text := (select format('account_id = any (%L::bigint[])', array_agg(g.account_id order by g.account_id))
                         from mailrow.grants g where g.role_name = p_role and g.account_id is not null
                         having count(*) > 0);
    v_condition text := case when exists (select from mailrow.grants g where g.role_name = p_role and g.account_id is null)
                             then 'true' else v_accounts end;
    v_to        text := quote_ident(p_role);
    -- A name has at most 63 bytes, and cut off it could be another role's.
    v_policy    text := 'reader ' || case when octet_length(p_role) <= 56 then p_role
                                          else left(encode(sha256(convert_to(p_role, 'UTF8')), 'hex'), 56) end;
    v_table     text;
begin
    if v_condition is not null and current_setting('server_version_num')::integer < 150000 then
        -- Views run as their owner there, so the owner is who is filtered.
        v_to := 'mailrow_owner';
        -- to_regrole is NULL for a role that was dropped since: false, not an error for every reader.
        v_condition := format('pg_has_role(current_user, to_regrole(%L), ''usage'') and (%s)',
                              quote_ident(p_role), v_condition);
    end if;
    foreach v_table in array array['accounts', 'mailboxes', 'messages', 'deliveries'] loop
        execute format('drop policy if exists %I on mailrow.%I', v_policy, v_table);
        if v_condition is not null and exists (select from pg_roles where rolname = p_role) then
            execute format('create policy %I on mailrow.%I for select to %s using (%s)', v_policy, v_table, v_to, v_condition);
        end if;
    end loop;
end $$;
comment on function mailrow.apply_grants is
    'Makes the row-level security policies of one role say what table grants says.';

create function mailrow.grant_account(p_role text, p_account text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_account bigint;
begin
    if p_account is not null then
        select a.account_id into v_account from mailrow.accounts a where a.name = p_account;
        if not found then
            raise exception 'there is no account %', p_account using errcode = 'no_data_found',
                hint = 'Accounts are made by their first mail; select name from mailrow.accounts lists them.';
        end if;
    end if;
    execute format('grant mailrow_reader to %I', p_role);
    insert into mailrow.grants (role_name, account_id) values (p_role, v_account) on conflict do nothing;
    perform mailrow.apply_grants(p_role);
end $$;
comment on function mailrow.grant_account is
    'Lets a database role read one account, or every account when the name is NULL.';

create function mailrow.revoke_account(p_role text, p_account text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_found boolean;
begin
    delete from mailrow.grants g
    where g.role_name = p_role
      and case when p_account is null then g.account_id is null
               else g.account_id = (select a.account_id from mailrow.accounts a where a.name = p_account) end;
    v_found := found;
    perform mailrow.apply_grants(p_role);
    return v_found;
end $$;
comment on function mailrow.revoke_account is
    'Takes back what grant_account() gave. False when there was nothing to take back.';
