import type { AccessBook, Entry, Invitation } from '#identity/access-book.ts';
import type { AuditLog } from '#identity/audit-log.ts';
import { AppError } from '#lib/error.ts';
import {
  type AccessEntry,
  type AccessList,
  cancelInvitationSchema,
  type Invited,
  inviteSchema,
  type OpenInvitation,
  renameCameraSchema,
  renameSchema,
  revokeSchema,
  setRightsSchema,
} from '#protocol/access.ts';
import { mayDo } from '#protocol/rights.ts';
import type { Caller, ControlMethod } from './control.ts';
import { method, noParams } from './method.ts';

export interface AccessMethodsOptions {
  readonly book: AccessBook;
  readonly audit: Pick<AuditLog, 'append'>;
  /** What the owner can change about the camera. */
  readonly settings: { change(change: { readonly name: string }): Promise<void> };
}

/** The control channel's methods about who may use the camera, see protocol/access.ts. */
export function accessMethods({ book, audit, settings }: AccessMethodsOptions): Record<string, ControlMethod> {
  return {
    'access.list': method(noParams, 'view', (_params, caller) => listFor(book, caller)),
    'access.invite': method(inviteSchema, 'owner', async (params, { viewer: by }): Promise<Invited> => {
      const invitation = await book.invite({ ...params, by });
      const { id, code, expiresAt, rights, transfer, note } = invitation;
      audit.append('invited', { by, invitation: id, rights, transfer, note });
      return { id, code, expiresAt };
    }),
    'access.cancelInvitation': method(cancelInvitationSchema, 'owner', async ({ id }, { viewer: by }) => {
      if (await book.cancelInvitation(id)) audit.append('invitation-cancelled', { by, invitation: id });
    }),
    'access.revoke': method(revokeSchema, 'view', async ({ thumbprint }, caller) => {
      onlyOwnerOrSelf(caller, thumbprint);
      const former = book.find(thumbprint);
      try {
        await book.revoke(thumbprint);
      } finally {
        // In force even where the disk refused.
        if (former && !book.find(thumbprint)) {
          audit.append('revoked', { by: caller.viewer, viewer: thumbprint, name: former.name });
        }
      }
    }),
    'access.setRights': method(setRightsSchema, 'owner', async ({ thumbprint, rights }, { viewer: by }) => {
      await book.setRights(thumbprint, rights);
      audit.append('rights-changed', { by, viewer: thumbprint, rights });
    }),
    'access.rename': method(renameSchema, 'view', async ({ thumbprint, name }, caller) => {
      onlyOwnerOrSelf(caller, thumbprint);
      await book.rename(thumbprint, name);
      audit.append('renamed', { by: caller.viewer, viewer: thumbprint, name });
    }),
    'camera.rename': method(renameCameraSchema, 'settings', async ({ name }, { viewer: by }) => {
      await settings.change({ name });
      audit.append('renamed', { by, name });
    }),
  };
}

/** Guests see themselves; who else may use the camera is the owners' business. */
function listFor(book: AccessBook, { viewer, rights }: Caller): AccessList {
  const owner = mayDo(rights, 'owner');
  const entries = book.list().filter(({ thumbprint }) => owner || thumbprint === viewer);
  return {
    me: viewer,
    entries: entries.map(entryView),
    invitations: owner ? book.invitations().map(invitationView) : [],
    pairing: {
      state: book.pairingState(),
      attemptsLeft: book.attemptsLeft,
      windowMs: Math.round(book.pairingWindowMs),
    },
  };
}

function entryView({ key: _key, ...entry }: Entry): AccessEntry {
  return entry;
}

function invitationView({ code: _code, failures: _failures, ...invitation }: Invitation): OpenInvitation {
  return invitation;
}

function onlyOwnerOrSelf({ viewer, rights }: Caller, thumbprint: string): void {
  if (mayDo(rights, 'owner') || viewer === thumbprint) return;
  throw new AppError('access.forbidden', 'only an owner of this camera may do that to somebody else');
}
