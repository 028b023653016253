-- Roles and schemas. Idempotent: runs before the first migration and before
-- every other. Roles belong to the whole cluster, so several databases share them.
do $$
declare
    v_role text;
begin
    foreach v_role in array array['mailrow_owner', 'mailrow_deliver', 'mailrow_reader', 'mailrow_poller'] loop
        begin
            if not exists (select from pg_roles where rolname = v_role) then
                execute format('create role %I nologin', v_role);
            end if;
        exception when duplicate_object or unique_violation then
            null;
        end;
    end loop;
    -- Who migrates acts as the owner; a superuser may without being a member.
    if not (select rolsuper from pg_roles where rolname = current_user) then
        execute format('grant mailrow_owner to %I', current_user);
    end if;
end $$;

create schema if not exists mailrow authorization mailrow_owner;
create schema if not exists mailrow_delivery authorization mailrow_owner;
create schema if not exists mailrow_polling authorization mailrow_owner;
comment on schema mailrow is 'Mail in, rows out: query the views mail and headers.';
comment on schema mailrow_delivery is 'What a delivery may call, and nothing else.';
comment on schema mailrow_polling is 'What a poller may call besides.';
